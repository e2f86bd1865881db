//! The steps from queries to a served score, each a command that is shown and run.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};

use hybrid_llm_tests::{
    artifacts::{self, Profile},
    fetch,
    http::{self, Endpoint, Error, post},
    scorer::Scorer,
    show,
    upstream::StandIn,
};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    page,
    questions::{self, Difficulty, Question},
    stand_in,
};

/// Queries that the router is made from.
const QUERIES: usize = 200;
/// The part of them that it learns from; the rest calibrates it.
const LEARN: usize = 140;
/// Queries that come later, and that nothing was made from.
const LATER: usize = 100;
/// Queries of a log, without answers.
const LOGGED: usize = 400;
/// A file that says that a folder may be made anew.
const MARK: &str = ".your-own-pair";

/// Where the steps happen, and what they are done with.
struct Place {
    folder: PathBuf,
    program: PathBuf,
    onnxruntime: PathBuf,
    /// What stands in the place of which word of the page.
    instead: Vec<(&'static str, String)>,
    /// Where the commands' words go: stderr, when stdout is for JSON.
    json: bool,
}

/// Does all steps.
///
/// # Errors
/// The first step that fails; what it said has been shown.
pub(crate) fn run(folder: &Path, seed: u64, json: bool) -> Result<(), Error> {
    let onnxruntime = fs::canonicalize(fetch::onnxruntime()?)?;
    let program = artifacts::scorer(Profile::Dev)?;
    let folder = made_anew(folder)?;
    let mut place = Place { folder, program: fs::canonicalize(program)?, onnxruntime, instead: Vec::new(), json };
    let questions = questions::make(QUERIES + LATER + LOGGED, seed);
    let (known, others) = questions.split_at(QUERIES);
    let (later, logged) = others.split_at(LATER);
    place.write_queries("queries.jsonl", known)?;
    place.write_queries("later.jsonl", later)?;
    let log: String = logged.iter().map(|question| format!("{}\n", json!({"query": question.text}))).collect();
    fs::write(place.folder.join("log.jsonl"), log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let small = stand_in::start(&questions, stand_in::SMALL, seed).await;
        let large = stand_in::start(&questions, stand_in::LARGE, seed + 1).await;
        place.instead = vec![
            ("llama-3.1-8b", "small-stand-in".to_owned()),
            ("gpt-4.1", "large-stand-in".to_owned()),
            ("http://127.0.0.1:8000/v1", url(&small)),
            ("https://api.openai.com/v1", url(&large)),
            ("scorer/routers/default", artifacts::default_router().display().to_string()),
            ("/run/hybrid-llm/scorer.sock", "scorer.sock".to_owned()),
        ];
        place.first_router().await?;
        place.responses_and_grades().await?;
        let evaluation = place.make_router().await?;
        let first = place.evaluate(&[("my-router", "first-router"), ("report.html", "first-report.html")]).await?;
        let served = place.serve(later).await?;
        if json {
            show::out(json!({"folder": place.folder, "evaluation": evaluation, "first": first, "served": served}))?;
        } else {
            let folder = place.folder.display();
            show::out(format_args!("\nThe router is {folder}/my-router; {folder}/report.html says what it saves."))?;
            show::out("For a router of your own pair see examples/your-own-pair/README.md.")?;
        }
        Ok(())
    })
}

/// An empty folder with the mark. One that is there goes only if it is empty or has the mark.
fn made_anew(folder: &Path) -> Result<PathBuf, Error> {
    if folder.exists() {
        if fs::read_dir(folder)?.next().is_some() && !folder.join(MARK).exists() {
            let folder = folder.display();
            return Err(
                format!("{folder} is there, but was not made here: choose another --folder, or remove it").into()
            );
        }
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    fs::write(
        folder.join(MARK),
        "Made by `cargo run -p your-own-pair`, which may remove this folder to make it anew.\n",
    )?;
    Ok(fs::canonicalize(folder)?)
}

/// How the data is parted, in the shell's words.
pub(crate) fn parting() -> String {
    format!("head -n {LEARN} data.jsonl > learn.jsonl; tail -n +{} data.jsonl > calibrate.jsonl", LEARN + 1)
}

impl Place {
    fn write_queries(&self, name: &str, questions: &[Question]) -> Result<(), Error> {
        let line = |(number, question): (usize, &Question)| {
            let id = format!("{}-{number:03}", name.trim_end_matches(".jsonl"));
            format!("{}\n", json!({"id": id, "query": question.text, "reference": question.answer}))
        };
        Ok(fs::write(self.folder.join(name), questions.iter().enumerate().map(line).collect::<String>())?)
    }

    /// A first router from a log without grades, and the grades of the few queries that calibrate it.
    async fn first_router(&self) -> Result<(), Error> {
        for command in page::commands(page::FROM_A_LOG) {
            match command.first() {
                // It would not end. The other router is served in the last step.
                Some(&"serve") => self.say(&format!("\n$ hybrid-llm {} &", self.instead(command).join(" ")))?,
                _ => _ = self.run(command).await?,
            }
        }
        Ok(())
    }

    /// Steps 1 and 2: what the models say, and how good it is. Queries that come later are kept apart from the others.
    async fn responses_and_grades(&self) -> Result<(), Error> {
        for later in [false, true] {
            for command in ["collect", "judge"] {
                let apart = |word| match word {
                    "queries.jsonl" if later => "later.jsonl",
                    "responses.jsonl" if later => "later-responses.jsonl",
                    "data.jsonl" if later => "later-data.jsonl",
                    word => word,
                };
                self.run(page::command(command).into_iter().map(apart).collect()).await?;
            }
        }
        let data = fs::read_to_string(self.folder.join("data.jsonl"))?;
        self.say(&format!("\n$ {}", parting()))?;
        let (learn, calibrate): (Vec<_>, Vec<_>) = data.lines().enumerate().partition(|(number, _)| *number < LEARN);
        for (name, lines) in [("learn.jsonl", learn), ("calibrate.jsonl", calibrate)] {
            fs::write(self.folder.join(name), lines.iter().map(|(_, line)| format!("{line}\n")).collect::<String>())?;
        }
        Ok(())
    }

    /// Steps 3 to 6: from grades to a router whose quality is known. Gives what evaluate says.
    async fn make_router(&self) -> Result<Value, Error> {
        for command in ["label", "train", "calibrate"] {
            self.run(page::command(command)).await?;
        }
        self.evaluate(&[]).await
    }

    /// Step 6, with other words in the place of some: what a router is worth. Gives what evaluate says.
    async fn evaluate(&self, instead: &[(&str, &'static str)]) -> Result<Value, Error> {
        let other = |word| instead.iter().find(|(page, _)| *page == word).map_or(word, |(_, other)| *other);
        let mut evaluate: Vec<&str> = page::command("evaluate").into_iter().map(other).collect();
        if !self.json {
            self.run(evaluate).await?;
            return Ok(Value::Null);
        }
        evaluate.push("--json");
        Ok(serde_json::from_str(&self.run(evaluate).await?)?)
    }

    /// Step 7: the router at work, asked about a simple and a hard query that it has not seen.
    async fn serve(&self, later: &[Question]) -> Result<Value, Error> {
        let serve = page::command("serve");
        let router = page::value(&serve, "--router").ok_or("the page serves no router")?;
        self.say(&format!("\n$ hybrid-llm {} &", self.instead(serve).join(" ")))?;
        let scorer = Scorer::start_with(Profile::Dev, &self.folder.join(router), &[]).await?;
        let mut served = Vec::new();
        for difficulty in [Difficulty::Simple, Difficulty::Hard] {
            let question = later.iter().find(|question| question.difficulty == difficulty).ok_or("no such question")?;
            let body = json!({"query": question.text}).to_string();
            self.say(&format!("\n$ curl -s --unix-socket scorer.sock http://scorer/v1/score -d '{body}'"))?;
            let reply = http::send(&scorer.endpoint, post("/v1/score", body, &[])).await?;
            if reply.status != 200 {
                return Err(format!("the scorer answered {}: {}", reply.status, reply.text()).into());
            }
            self.say(&reply.text())?;
            served.push(reply.json());
        }
        Ok(served.into())
    }

    /// The page's words with those of this place in their stead.
    fn instead(&self, words: Vec<&str>) -> Vec<String> {
        let known = |word: &str| self.instead.iter().find(|(page, _)| *page == word).map(|(_, here)| here.clone());
        words.into_iter().map(|word| known(word).unwrap_or_else(|| word.to_owned())).collect()
    }

    /// Shows a command of the project's program, runs it in the folder, and gives what it printed.
    async fn run(&self, words: Vec<&str>) -> Result<String, Error> {
        let args = self.instead(words);
        self.say(&format!("\n$ hybrid-llm {}", args.join(" ")))?;
        let start = Instant::now();
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).args(&args).env("HYBRID_LLM_ONNXRUNTIME", &self.onnxruntime);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let output = command.spawn()?.wait_with_output().await?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        self.say(printed.trim_end())?;
        if !output.status.success() {
            return Err(
                format!("hybrid-llm {} ended with {}", args.first().map_or("", String::as_str), output.status).into()
            );
        }
        self.say(&format!("({:.1} s)", start.elapsed().as_secs_f64()))?;
        Ok(printed)
    }

    fn say(&self, text: &str) -> io::Result<()> {
        if self.json {
            show::aside(text);
            return Ok(());
        }
        show::out(text)
    }
}

fn url(stand_in: &StandIn) -> String {
    match stand_in.endpoint() {
        Endpoint::Tcp(address) => format!("http://{address}/v1"),
        Endpoint::Unix(path) => path.display().to_string(),
    }
}
