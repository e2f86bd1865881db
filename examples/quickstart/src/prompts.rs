//! The prompts: short and long, chat, code, mathematics, facts, several languages; and what a person would expect of each.

/// What a person who knows language models expects of a small one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// A small model answers as well as a large one.
    Easy,
    /// A large model answers better.
    Hard,
}

impl Expected {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Easy => "easy",
            Self::Hard => "hard",
        }
    }
}

/// All prompts, the easy ones first.
pub(crate) fn prompts() -> impl ExactSizeIterator<Item = (Expected, &'static str)> {
    let prompt = |index: usize, text| (if index < EASY { Expected::Easy } else { Expected::Hard }, text);
    PROMPTS.into_iter().enumerate().map(move |(index, text)| prompt(index, text))
}

const EASY: usize = 21;
const PROMPTS: [&str; 40] = [
    "Hi there!",
    "What is the capital of France?",
    "Translate 'good morning' into Spanish.",
    "What is 17 + 25?",
    "Write a haiku about autumn rain.",
    "Who wrote Pride and Prejudice?",
    "Give me three synonyms for 'happy'.",
    "How many minutes are there in a day?",
    "Correct the grammar: she don't likes apples.",
    "Suggest a name for a friendly orange cat.",
    "Summarise in one sentence: the meeting moved from Tuesday to Thursday because the room was taken.",
    "Is a tomato a fruit or a vegetable?",
    "Write a polite out-of-office reply for next week.",
    "What does HTTP status 404 mean?",
    "Convert 72 degrees Fahrenheit to Celsius.",
    "List the planets of the solar system in order.",
    "Wie sagt man 'thank you' auf Deutsch?",
    "Describe the taste of a ripe mango to someone who has never had one.",
    "What should I pack for a weekend of hiking?",
    "Extract the date from: invoice no. 4471, due 3 March, 250 euros.",
    "次の文を英語に訳してください: 会議は来週に延期されました。",
    "Prove that there are infinitely many prime numbers congruent to 3 modulo 4.",
    "A tank fills in 6 hours through one pipe and in 4 through another, and drains in 12 through a third. With all three open, how long does it take to fill? Show each step.",
    "Explain why Raft needs a leader to commit an entry of its own term before older entries count as committed.",
    "Write a lock-free single-producer single-consumer ring buffer in Rust and argue that it is correct.",
    "Find the Jordan form of [[2,1,0],[0,2,0],[0,0,3]] and explain the generalised eigenvectors.",
    "Compare the incorporation doctrine before and after Gitlow v. New York.",
    "Given a list of intervals with weights, design an algorithm for the heaviest set without overlaps, and give its complexity.",
    "A 54-year-old has new ascites, a serum-ascites albumin gradient of 1.4 and a normal ejection fraction. What is the differential diagnosis?",
    "Derive the Black-Scholes equation from a hedged portfolio, and state every assumption.",
    "Why does the following deadlock: two goroutines, each holding a mutex, each waiting on the other's channel? Rewrite it safely.",
    "Integrate x^2 * exp(-x^2) from minus infinity to infinity without looking it up.",
    "Explain the difference between Kant's hypothetical and categorical imperatives with an original example of each.",
    "Our p99 latency doubles every time the garbage collector runs although the heap is half empty. List the likely causes and how to tell them apart.",
    "Design a schema for double-entry bookkeeping with multiple currencies and an audit trail, and write the query for a trial balance.",
    "If every bloop is a razzy and some razzies are lazzies, must some bloops be lazzies? Justify formally.",
    "What is the pH of a 0.10 M solution of acetic acid with Ka = 1.8e-5? Then of the same solution with 0.05 M sodium acetate.",
    "Schreibe eine SQL-Abfrage, die für jeden Kunden den Monat mit dem höchsten Umsatz findet, auch bei Gleichstand.",
    "Outline a proof of the Cook-Levin theorem at the level of a graduate lecture.",
    "A train leaves at 14:10 at 80 km/h; another leaves the same station at 14:40 at 110 km/h. When and where does the second catch the first?",
];
