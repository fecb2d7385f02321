//! Which deeds come after which.

use super::graph::{self, AGAIN, CONTACTS, ONCE};
use super::play::{ACCOUNTS, Step};
use crate::model::Dice;

/// Two accounts with everything in them, and then as many deeds.
pub fn steps(count: usize, dice: &mut Dice) -> Vec<Step> {
    let mut steps = Vec::new();
    for account in ACCOUNTS {
        // One file a step until there are people, then all the rest: a file with a fault is refused whole.
        steps.extend(
            graph::beginning(account, dice).into_iter().map(|records| Step::Import(account, records)),
        );
    }
    let mut enrolled = Vec::new();
    steps.extend((0..count).map(|number| deed(number, &mut enrolled, dice)));
    steps
}

fn deed(number: usize, enrolled: &mut Vec<Step>, dice: &mut Dice) -> Step {
    let account = ACCOUNTS[dice.roll(ACCOUNTS.len())];
    let contact = i64::try_from(dice.roll(CONTACTS) + 1).expect("few");
    match dice.roll(100) {
        0..=17 => Step::Delete(account, contact),
        18..=26 => {
            let workflow = [AGAIN, ONCE][dice.roll(2)];
            let enrollment = i64::try_from(number).expect("few") + 1;
            let step = Step::Enroll(account, contact, (workflow, enrollment), dice.roll(2) == 0);
            enrolled.push(step.clone());
            step
        }
        // The same enrollment once more.
        27..=29 if !enrolled.is_empty() => enrolled[dice.roll(enrolled.len())].clone(),
        27..=43 => Step::Restore(account, contact),
        44..=47 => Step::RestoreAll(account, everybody(dice)),
        48..=51 => Step::Erase(account, contact),
        52..=53 => Step::EraseAddress(account, graph::address(dice)),
        54..=56 => Step::Hold(account, contact),
        57..=60 => Step::Lift(account, contact),
        61..=65 => Step::Age(account, contact),
        66..=68 => Step::Purge,
        69 => Step::ExpireNotifications,
        70..=71 => Step::DeleteQuotes,
        72..=77 => Step::DeleteRecord(account, graph::deletable(dice)),
        78..=82 => Step::RestoreRecord(account, graph::deletable(dice)),
        83..=84 => Step::AgeRecord(account, graph::deletable(dice)),
        _ => Step::Import(account, (0..=dice.roll(3)).map(|_| graph::record(account, dice)).collect()),
    }
}

fn everybody(dice: &mut Dice) -> Vec<i64> {
    let mut contacts: Vec<i64> = (1..).take(CONTACTS).collect();
    dice.shuffle(&mut contacts);
    contacts
}
