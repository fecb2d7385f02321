//! Ways to tear a definition, misspell it, or make one up.

use std::env;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::model::Dice;

/// Tries so many made-up inputs, or for `CRITERIA_FUZZ_SECONDS` as many as there is time for, and says how many.
pub fn for_as_long_as_asked(what: &str, usually: usize, mut try_one: impl FnMut()) {
    let seconds = env::var("CRITERIA_FUZZ_SECONDS").ok().map(|it| it.parse().expect("seconds"));
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut tried = 0;
    while end.map_or(tried < usually, |end| Instant::now() < end) {
        try_one();
        tried += 1;
    }
    println!("{tried} made-up {what} tried");
}

/// A member of an object somewhere in a document.
pub struct Place {
    /// The object's JSON pointer.
    pub of: String,
    pub name: String,
}

/// Every member of every object.
pub fn places(value: &Value) -> Vec<Place> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), value)];
    while let Some((of, value)) = open.pop() {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    found.push(Place { of: of.clone(), name: name.clone() });
                    open.push((format!("{of}/{}", escaped(name)), member));
                }
            }
            Value::Array(items) => {
                let item = |(index, item)| (format!("{of}/{index}"), item);
                open.extend(items.iter().enumerate().map(item));
            }
            _ => {}
        }
    }
    found
}

/// A name as a JSON pointer has it.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

impl Place {
    fn member<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        document.pointer(&self.of)?.get(&self.name)
    }

    fn within(&self, document: &Value, change: impl FnOnce(&mut Map<String, Value>)) -> Value {
        let mut document = document.clone();
        let object = document.pointer_mut(&self.of).and_then(Value::as_object_mut);
        change(object.expect("the object of the place"));
        document
    }

    pub fn dropped(&self, document: &Value) -> Value {
        self.within(document, |members| drop(members.remove(&self.name)))
    }

    pub fn replaced(&self, document: &Value, with: Value) -> Value {
        self.within(document, |members| drop(members.insert(self.name.clone(), with)))
    }

    /// With another member in the same object.
    pub fn beside(&self, document: &Value, name: &str, with: Value) -> Value {
        self.within(document, |members| drop(members.insert(name.to_owned(), with)))
    }

    pub fn renamed(&self, document: &Value) -> Value {
        self.within(document, |members| {
            let member = members.remove(&self.name).expect("the member");
            members.insert(format!("{}?", self.name), member);
        })
    }
}

/// Documents to tear and to take parts from, and every name and text in them.
pub struct Seeds {
    documents: Vec<Value>,
    words: Vec<String>,
}

impl Seeds {
    pub fn of(documents: Vec<Value>) -> Self {
        let mut words: Vec<String> = documents
            .iter()
            .flat_map(|document| {
                places(document).into_iter().flat_map(|place| {
                    let text = place.member(document).and_then(Value::as_str).map(str::to_owned);
                    [Some(place.name), text]
                })
            })
            .flatten()
            .collect();
        words.sort_unstable();
        words.dedup();
        Self { documents, words }
    }

    /// A document after a few changes, or noise from the start.
    pub fn mangled(&self, dice: &mut Dice) -> Value {
        if dice.roll(8) == 0 {
            return self.noise(dice);
        }
        let mut document = self.any(dice).clone();
        for _ in 0..=dice.roll(4) {
            document = self.change(&document, dice);
        }
        document
    }

    /// Nothing but words and numbers.
    pub fn noise(&self, dice: &mut Dice) -> Value {
        noise(&self.words, dice, 5)
    }

    fn any(&self, dice: &mut Dice) -> &Value {
        &self.documents[dice.roll(self.documents.len())]
    }

    /// One change anywhere in a document.
    pub fn change(&self, document: &Value, dice: &mut Dice) -> Value {
        let (all, words) = (places(document), &self.words);
        if all.is_empty() {
            return noise(words, dice, 3);
        }
        let place = &all[dice.roll(all.len())];
        match dice.roll(6) {
            0 => place.dropped(document),
            1 => place.renamed(document),
            2 => {
                let other = self.any(dice);
                let found = places(other);
                let with = found.get(dice.roll(found.len().max(1))).and_then(|place| place.member(other));
                place.replaced(document, with.cloned().unwrap_or_default())
            }
            3 => place.within(document, |members| {
                drop(members.insert(words[dice.roll(words.len())].clone(), noise(words, dice, 2)));
            }),
            _ => place.replaced(document, noise(words, dice, 3)),
        }
    }
}

fn noise(words: &[String], dice: &mut Dice, depth: usize) -> Value {
    match dice.roll(if depth == 0 { 6 } else { 10 }) {
        0 => [Value::Null, json!(true), json!(false)][dice.roll(3)].clone(),
        1 | 2 => {
            let numbers = [
                json!(0),
                json!(1),
                json!(-1),
                json!(29),
                json!(0.5),
                json!(-0.0),
                json!(1e308),
                json!(1_790_000_000_000_i64),
                json!(8_210_266_876_799_999_i64),
                json!(i64::MIN),
                json!(i64::MAX),
                json!(u64::MAX),
            ];
            numbers[dice.roll(numbers.len())].clone()
        }
        3..=5 => words[dice.roll(words.len())].clone().into(),
        6 | 7 => (0..dice.roll(4)).map(|_| noise(words, dice, depth - 1)).collect(),
        _ => {
            let member =
                |dice: &mut Dice| (words[dice.roll(words.len())].clone(), noise(words, dice, depth - 1));
            Value::Object((0..dice.roll(6)).map(|_| member(dice)).collect())
        }
    }
}

/// Values, times and zones at the edges of what there is.
pub fn make_hostile(scene: &mut Map<String, Value>, dice: &mut Dice) {
    const VALUES: [&str; 12] = [
        "8210266876799999",
        "-8334601228800000",
        "9223372036854775807",
        "-9223372036854775808",
        "0001-01-01",
        "9999-12-31",
        "9999-12-31T23:59:59.999999Z",
        "1e2147483647",
        "-1e-2147483648",
        ";",
        "\0",
        "e\u{301}\u{1f469}\u{200d}",
    ];
    const NOWS: [&str; 4] = [
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "2024-02-29T23:59:59.999999Z",
        "1970-01-01T00:00:00Z",
    ];
    const ZONES: [&str; 4] =
        ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Australia/Lord_Howe", "Africa/Monrovia"];
    for name in ["p", "q", "amount"] {
        if dice.roll(2) == 0 {
            scene.insert(name.to_owned(), VALUES[dice.roll(VALUES.len())].into());
        }
    }
    if dice.roll(3) == 0 {
        scene.insert("now".to_owned(), NOWS[dice.roll(NOWS.len())].into());
        scene.insert("zone".to_owned(), ZONES[dice.roll(ZONES.len())].into());
    }
}
