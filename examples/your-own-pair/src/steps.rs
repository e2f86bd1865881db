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
    questions::{self, Difficulty, Question},
    stand_in,
};

/// Queries that the router is made from.
const QUERIES: usize = 200;
/// The part of them that it learns from; the rest calibrates it.
const LEARN: usize = 140;
/// Queries that come later, and that nothing was made from.
const LATER: usize = 100;
/// Responses of each model to each query.
const SAMPLES: &str = "5";
/// The names of the stand-ins.
const PAIR: [&str; 4] = ["--small", "small-stand-in", "--large", "large-stand-in"];

/// Where the steps happen, and what they are done with.
struct Place {
    folder: PathBuf,
    program: PathBuf,
    onnxruntime: PathBuf,
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
    if folder.exists() {
        let empty = fs::read_dir(folder)?.next().is_none();
        if !empty && !folder.join("queries.jsonl").exists() {
            return Err(format!("{} is there, but was not made here; choose another --folder", folder.display()).into());
        }
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let place = Place { folder: fs::canonicalize(folder)?, program: fs::canonicalize(program)?, onnxruntime, json };
    let questions = questions::make(QUERIES + LATER, seed);
    let (known, later) = questions.split_at(QUERIES);
    place.write_queries("queries.jsonl", known)?;
    place.write_queries("later.jsonl", later)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let small = stand_in::start(&questions, stand_in::SMALL, seed).await;
        let large = stand_in::start(&questions, stand_in::LARGE, seed + 1).await;
        place.responses_and_grades(&small, &large).await?;
        let evaluation = place.make_router().await?;
        let served = place.serve(later).await?;
        if json {
            show::out(json!({"folder": place.folder, "evaluation": evaluation, "served": served}))?;
        } else {
            let folder = place.folder.display();
            show::out(format_args!("\nThe router is {folder}/router; {folder}/report.html says what it saves."))?;
            show::out("For a router of your own pair see examples/your-own-pair/README.md.")?;
        }
        Ok(())
    })
}

impl Place {
    fn write_queries(&self, name: &str, questions: &[Question]) -> Result<(), Error> {
        let line = |(number, question): (usize, &Question)| {
            let id = format!("{}-{number:03}", name.trim_end_matches(".jsonl"));
            format!("{}\n", json!({"id": id, "query": question.text, "reference": question.answer}))
        };
        Ok(fs::write(self.folder.join(name), questions.iter().enumerate().map(line).collect::<String>())?)
    }

    /// Steps 1 and 2: what the models say, and how good it is.
    async fn responses_and_grades(&self, small: &StandIn, large: &StandIn) -> Result<(), Error> {
        let (small, large) = (url(small), url(large));
        for (queries, responses, data) in [
            ("queries.jsonl", "responses.jsonl", "data.jsonl"),
            ("later.jsonl", "later-responses.jsonl", "later-data.jsonl"),
        ] {
            let models =
                ["--small-url", &small, "--small-model", PAIR[1], "--large-url", &large, "--large-model", PAIR[3]];
            let prices = ["--small-price", "0.05,0.08", "--large-price", "2,8", "--samples", SAMPLES];
            self.run(&[&["collect", queries, "--out", responses], &models[..], &prices].concat()).await?;
            self.run(&["judge", responses, "--out", data, "--contains"]).await?;
        }
        let data = fs::read_to_string(self.folder.join("data.jsonl"))?;
        self.say(&format!(
            "\n$ head -n {LEARN} data.jsonl > learn.jsonl; tail -n +{} data.jsonl > calibrate.jsonl",
            LEARN + 1
        ))?;
        let (learn, calibrate): (Vec<_>, Vec<_>) = data.lines().enumerate().partition(|(number, _)| *number < LEARN);
        for (name, lines) in [("learn.jsonl", learn), ("calibrate.jsonl", calibrate)] {
            fs::write(self.folder.join(name), lines.iter().map(|(_, line)| format!("{line}\n")).collect::<String>())?;
        }
        Ok(())
    }

    /// Steps 3 to 6: from grades to a router whose quality is known. Gives what evaluate says.
    async fn make_router(&self) -> Result<Value, Error> {
        self.run(&[&["label", "--kind", "prob", "--data", "learn.jsonl"], &PAIR[..]].concat()).await?;
        let encoder = artifacts::default_router();
        let encoder = encoder.to_str().ok_or("the workspace's path is not UTF-8")?;
        let train = ["train", "--encoder", encoder, "--data", "learn.jsonl", "--label", "prob", "--out", "router"];
        self.run(&[&train, &PAIR[..]].concat()).await?;
        let calibrate = ["calibrate", "--router", "router", "--data", "calibrate.jsonl", "--small-share", "0.4"];
        self.run(&calibrate).await?;
        let evaluate = ["evaluate", "--router", "router", "--data", "later-data.jsonl", "--baselines"];
        let report = ["--report", "report.html", "--small-price", "0.05,0.08", "--large-price", "2,8"];
        let evaluate = [&evaluate, &PAIR[..], &report].concat();
        if !self.json {
            self.run(&evaluate).await?;
            return Ok(Value::Null);
        }
        Ok(serde_json::from_str(&self.run(&[&evaluate[..], &["--json"]].concat()).await?)?)
    }

    /// Step 7: the router at work, asked about a simple and a hard query that it has not seen.
    async fn serve(&self, later: &[Question]) -> Result<Value, Error> {
        let serve = "hybrid-llm serve --router router --listen none --unix scorer.sock";
        self.say(&format!("\n$ {serve} --onnxruntime {} &", self.onnxruntime.display()))?;
        let scorer = Scorer::start_with(Profile::Dev, &self.folder.join("router"), &[]).await?;
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

    /// Shows a command of the project's program, runs it in the folder, and gives what it printed.
    async fn run(&self, args: &[&str]) -> Result<String, Error> {
        let shown: Vec<_> =
            args.iter().map(|arg| if arg.contains(' ') { format!("'{arg}'") } else { (*arg).to_owned() }).collect();
        self.say(&format!("\n$ hybrid-llm {}", shown.join(" ")))?;
        let start = Instant::now();
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).args(args).env("HYBRID_LLM_ONNXRUNTIME", &self.onnxruntime);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let output = command.spawn()?.wait_with_output().await?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        self.say(printed.trim_end())?;
        if !output.status.success() {
            return Err(format!("hybrid-llm {} ended with {}", args.first().unwrap_or(&""), output.status).into());
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
