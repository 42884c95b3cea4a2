//! Rows: machines in groups of their clients, the worst first.

use askama::Template;
use askama::filters::HtmlSafe;
use fleet::{Client, ClientId, KeyCustody, State};
use store::{Card, Counts};

use crate::parts::{self, Bar28, Mark};

/// A machine in a list.
pub(crate) struct Row {
    address: String,
    name: String,
    about: String,
    class: &'static str,
    lights: Vec<Mark>,
    says: String,
    bar: Bar28,
}

impl Row {
    /// How a machine stands.
    pub(crate) fn of(card: &Card) -> Row {
        let standing = match (card.paused, card.percent) {
            (true, _) => format!("paused, {}", card.state.word()),
            (false, Some(percent)) => format!("{}, backup {percent} % done", card.state.word()),
            (false, None) => card.state.word().to_owned(),
        };
        Row {
            address: format!("/machines/{}", card.machine),
            name: card.name.clone(),
            about: format!("{} · {standing}", card.class.word()),
            class: if card.paused { "is-none" } else { parts::class(Some(card.state)) },
            lights: card.lights.iter().map(Mark::of_light).collect(),
            says: card.sentence.clone(),
            bar: Bar28::of(&card.bar),
        }
    }
}

/// A client's machines.
#[derive(Template)]
#[template(path = "group.html")]
pub(crate) struct Group {
    id: ClientId,
    address: String,
    name: String,
    about: String,
    rows: Vec<Row>,
}

impl HtmlSafe for Group {}

/// Machines by client, in the order in which the first of each comes.
pub(crate) fn groups(cards: &[Card], clients: &[Client]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for card in cards {
        match groups.iter_mut().find(|group| group.id == card.client) {
            Some(group) => group.rows.push(Row::of(card)),
            None => groups.push(group(card, clients)),
        }
    }
    for group in &mut groups {
        group.about = match group.rows.len() {
            1 => "1 machine here".into(),
            more => format!("{more} machines here"),
        };
        let client = clients.iter().find(|client| client.id == group.id);
        if client.is_some_and(|client| client.custody == KeyCustody::Managed && client.sheet_confirmed.is_none()) {
            group.about += ", recovery sheet not confirmed";
        }
    }
    groups
}

fn group(card: &Card, clients: &[Client]) -> Group {
    let client = clients.iter().find(|client| client.id == card.client);
    let name = client.map_or("A client", |client| client.name.as_str()).to_owned();
    let address = format!("/clients/{}", card.client);
    Group { id: card.client, address, name, about: String::new(), rows: vec![Row::of(card)] }
}

/// How many need somebody.
pub(crate) fn in_need(counts: &Counts) -> u64 {
    [State::Incomplete, State::Late, State::Never, State::Failed].map(|state| counts.of(state)).iter().sum()
}

/// The one sentence about machines: which of them need somebody.
pub(crate) fn sentence(counts: &Counts) -> String {
    let (all, need) = (counts.all(), in_need(counts));
    let quiet = [State::Running, State::Paused].map(|state| (counts.of(state), state.word()));
    let besides: Vec<_> =
        quiet.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    match (all, need) {
        (0, _) => "No machines yet.".into(),
        (1, 1) => "The machine needs you.".into(),
        (all, 1) => format!("1 of {all} machines needs you."),
        (all, need) if need > 0 => format!("{need} of {all} machines need you."),
        (1, _) if besides.is_empty() => "The machine is good.".into(),
        (all, _) if besides.is_empty() => format!("All {all} machines are good."),
        (all, _) => format!("No machine of {all} needs you: {} good, {}.", counts.of(State::Good), besides.join(", ")),
    }
}

/// The same about machines that are all shown.
pub(crate) fn sentence_of(cards: &[Card]) -> String {
    let need = cards.iter().filter(|card| !card.paused && card.state > State::Paused).count();
    match (cards.len(), need) {
        (0, _) => "no machines yet".into(),
        (1, 0) => "its machine is well".into(),
        (all, 0) => format!("none of {all} machines needs you"),
        (1, _) => "its machine needs you".into(),
        (all, 1) => format!("1 of {all} machines needs you"),
        (all, need) => format!("{need} of {all} machines need you"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_machines_nothing_is_claimed() {
        assert_eq!(sentence(&Counts::default()), "No machines yet.");
        assert_eq!(sentence_of(&[]), "no machines yet");
    }
}
