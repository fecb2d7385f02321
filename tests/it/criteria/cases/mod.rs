//! Cases worked out by hand, in text files of their own.
//!
//! `zone`, `now` and `with` (surroundings) hold until they are said again; `let` names a JSON value, which `"@name"`
//! then stands for. `op TYPE OPERATOR MEMBERS` is a filter on the property `p`, `filter` and `branch` are the vendor's
//! JSON. The indented lines below are the cases: values of `p`, separated by ` | `, ` => `, and the verdict. `-` is no
//! value; `x <- y <- z` is x now and y and z before; `x @TIME` changed last then; braces add to the contact and what
//! surrounds it.

use contact_reaper::domain::criteria::Criteria;
use serde_json::{Map, Value, json};

use super::scene::Scene;

pub const FILES: [(&str, &str); 5] = [
    ("values", include_str!("values.txt")),
    ("dates", include_str!("dates.txt")),
    ("points", include_str!("points.txt")),
    ("around", include_str!("around.txt")),
    ("branches", include_str!("branches.txt")),
];

/// One filter, one contact, one verdict.
pub struct Case {
    pub place: String,
    pub branch: Value,
    pub scene: Map<String, Value>,
    pub verdict: String,
}

#[test]
fn every_case_comes_out_as_it_was_worked_out() {
    let cases = all();
    assert!(cases.len() >= 250, "{} cases", cases.len());
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let scene = Scene::read(&case.scene);
            let criteria = Criteria::parse(&case.branch, "$");
            let verdict = criteria.evaluate(scene.subject());
            assert_eq!(criteria.explain(scene.subject()).verdict, verdict, "{}: explained", case.place);
            (verdict.as_str() != case.verdict)
                .then(|| format!("{}: {}, not {}", case.place, verdict.as_str(), case.verdict))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The cases of all files.
pub fn all() -> Vec<Case> {
    FILES.iter().flat_map(|(name, text)| Reader::read(name, text)).collect()
}

#[derive(Default)]
struct Reader {
    zone: Value,
    now: Value,
    with: Map<String, Value>,
    names: Map<String, Value>,
    branch: Value,
}

impl Reader {
    fn read(name: &str, text: &str) -> Vec<Case> {
        let mut reader = Self::default();
        let mut cases = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let place = format!("{name}.txt:{}", number + 1);
            if let Some(case) = line.strip_prefix("  ") {
                let (values, verdict) = case.rsplit_once(" => ").expect(&place);
                assert!(["accepts", "rejects", "unsupported"].contains(&verdict), "{place}: {verdict}");
                cases.extend(values.split(" | ").map(|value| Case {
                    place: format!("{place}: {value}"),
                    branch: reader.branch.clone(),
                    scene: reader.scene(value),
                    verdict: verdict.to_owned(),
                }));
            } else if !line.is_empty() && !line.starts_with('#') {
                reader.take(line, &place);
            }
        }
        cases
    }

    fn take(&mut self, line: &str, place: &str) {
        let (word, rest) = line.split_once(' ').expect(place);
        let json = |text: &str| serde_json::from_str::<Value>(text).expect(place);
        match word {
            "zone" => self.zone = rest.into(),
            "now" => self.now = rest.into(),
            "with" => self.with = object(json(rest)),
            "let" => {
                let (name, value) = rest.split_once(' ').expect(place);
                self.names.insert(name.to_owned(), json(value));
            }
            "op" => {
                let mut words = rest.splitn(3, ' ');
                let mut word = || words.next();
                let (kind, operator) = (word().expect(place), word().expect(place));
                let mut operation = object(word().map_or(json!({}), json));
                operation.insert("operationType".to_owned(), kind.into());
                operation.insert("operator".to_owned(), operator.into());
                self.filter(&json!({"filterType": "PROPERTY", "property": "p", "operation": operation}));
            }
            "filter" => self.filter(&json(rest)),
            "branch" => self.branch = self.named(&json(rest)),
            _ => panic!("{place}: {word}"),
        }
    }

    fn filter(&mut self, filter: &Value) {
        let filters = [self.named(filter)];
        self.branch = json!({"filterBranchType": "AND", "filterBranches": [], "filters": filters});
    }

    /// With what `@` stands for: a named value, or a point in time.
    fn named(&self, value: &Value) -> Value {
        match value {
            Value::String(text) if text.starts_with('@') => {
                self.names.get(&text[1..]).cloned().unwrap_or_else(|| point(&text[1..]))
            }
            Value::Array(items) => items.iter().map(|item| self.named(item)).collect(),
            Value::Object(members) => {
                members.iter().map(|(name, value)| (name.clone(), self.named(value))).collect()
            }
            other => other.clone(),
        }
    }

    fn scene(&self, value: &str) -> Map<String, Value> {
        let mut scene =
            object(json!({"now": self.now, "zone": self.zone, "createdAt": "2025-01-01T00:00:00Z"}));
        scene.extend(self.with.clone());
        if value.starts_with('{') {
            scene.extend(object(serde_json::from_str(value).expect(value)));
            return scene;
        }
        let mut values = value.split(" <- ");
        let current = values.next().expect("a value");
        let version = |value: &str, at: &str| json!({"value": value, "timestamp": at});
        let mut past: Vec<Value> = values.map(|value| version(value, "2024-01-01T00:00:00Z")).collect();
        let current = match current.split_once(" @") {
            Some((current, at)) => {
                past.push(version(current, at));
                current
            }
            None => current,
        };
        if current.starts_with('"') {
            scene.insert("p".to_owned(), serde_json::from_str(current).expect(current));
        } else if current != "-" {
            scene.insert("p".to_owned(), current.into());
        }
        scene.insert("history".to_owned(), if past.is_empty() { json!({}) } else { json!({"p": past}) });
        scene
    }
}

/// A time point: `2026-03-29T02:30:00.000 ZONE`, `property.VALUE ZONE`, or `TODAY ZONE hour=2 days-1`.
fn point(text: &str) -> Value {
    let mut words = text.split(' ');
    let (what, zone) = (words.next().expect(text), words.next().expect(text));
    if let Some((property, reading)) = what.split_once('.').filter(|(name, _)| !name.contains('T')) {
        return json!({"timeType": "PROPERTY_REFERENCED", "zoneId": zone, "property": property,
            "referenceType": reading});
    }
    if what.starts_with(|first: char| first.is_ascii_digit()) {
        let part = |from: usize, to: usize| what[from..to].parse::<u32>().expect(text);
        return json!({"timeType": "DATE", "zoneId": zone, "year": part(0, 4), "month": part(5, 7),
            "day": part(8, 10), "hour": part(11, 13), "minute": part(14, 16), "second": part(17, 19),
            "millisecond": part(20, 23)});
    }
    let mut reference = object(json!({"referenceType": what}));
    let mut offset = Map::new();
    for word in words {
        if let Some((name, set)) = word.split_once('=') {
            reference.insert(name.to_owned(), set.parse::<u32>().map_or(set.into(), Value::from));
        } else {
            let sign = word.find(['+', '-']).expect(text);
            offset.insert(word[..sign].to_owned(), word[sign..].parse::<i64>().expect(text).into());
        }
    }
    json!({"timeType": "INDEXED", "zoneId": zone, "indexReference": reference, "offset": offset})
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("{other} is no object"),
    }
}
