//! Frame: what a server hands on of a keeper's answer, sealed with the servers' key and bound to its place, so that who has
//! only the database neither reads nor changes it.

use api::wire::keeper::{Answer, Question};
use axum::body::Bytes;
use fleet::MachineId;
use serde::{Deserialize, Serialize};
use store::RelayId;

use super::Unanswered;
use crate::problem::Problem;
use crate::seal::Seal;

/// What is asked.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Inquiry {
    pub(super) machine: MachineId,
    pub(super) question: Question,
}

/// What is handed on.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    /// The answer, or why there is none. The first, and the last unless a download begins.
    Reply(Reply),
    /// Bytes of a download.
    Bytes(Bytes),
    /// All of it was sent.
    End,
    /// The download is broken off.
    Broken,
}

/// An answer, or why there is none.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    Answer(Answer),
    Cannot(String),
    Busy,
    Late,
    Away,
}

impl From<Result<Answer, Unanswered>> for Reply {
    fn from(answer: Result<Answer, Unanswered>) -> Reply {
        match answer {
            Ok(answer) => Reply::Answer(answer),
            Err(Unanswered::Cannot(why)) => Reply::Cannot(why),
            Err(Unanswered::Busy) => Reply::Busy,
            Err(Unanswered::Late) => Reply::Late,
            Err(_) => Reply::Away,
        }
    }
}

impl From<Reply> for Result<Answer, Unanswered> {
    fn from(reply: Reply) -> Result<Answer, Unanswered> {
        match reply {
            Reply::Answer(answer) => Ok(answer),
            Reply::Cannot(why) => Err(Unanswered::Cannot(why)),
            Reply::Busy => Err(Unanswered::Busy),
            Reply::Late => Err(Unanswered::Late),
            Reply::Away => Err(Unanswered::Away),
        }
    }
}

impl Inquiry {
    pub(super) fn sealed(&self, seal: &Seal, id: RelayId) -> Result<Vec<u8>, Problem> {
        let text = serde_json::to_vec(self).map_err(|error| Problem::internal("write a question", error))?;
        seal.close_bytes(&format!("question {id}"), &text)
    }

    /// None: another key, or it is none of ours.
    pub(super) fn opened(seal: &Seal, id: RelayId, sealed: &[u8]) -> Option<Inquiry> {
        serde_json::from_slice(&seal.open_bytes(&format!("question {id}"), sealed)?).ok()
    }
}

/// The first byte says what it is.
const REPLY: u8 = 0;
const BYTES: u8 = 1;
const END: u8 = 2;
const BROKEN: u8 = 3;

impl Frame {
    pub(super) fn sealed(&self, seal: &Seal, id: RelayId, number: u64) -> Result<Vec<u8>, Problem> {
        let plain = match self {
            Frame::Reply(reply) => {
                let text = serde_json::to_vec(reply).map_err(|error| Problem::internal("write an answer", error))?;
                [&[REPLY], &text[..]].concat()
            }
            Frame::Bytes(bytes) => [&[BYTES], &bytes[..]].concat(),
            Frame::End => vec![END],
            Frame::Broken => vec![BROKEN],
        };
        seal.close_bytes(&about(id, number), &plain)
    }

    /// None: another key, another place, or nothing that this program knows.
    pub(super) fn opened(seal: &Seal, id: RelayId, number: u64, sealed: &[u8]) -> Option<Frame> {
        let plain = seal.open_bytes(&about(id, number), sealed)?;
        match plain.split_first()? {
            (&REPLY, text) => serde_json::from_slice(text).ok().map(Frame::Reply),
            (&BYTES, bytes) => Some(Frame::Bytes(Bytes::copy_from_slice(bytes))),
            (&END, []) => Some(Frame::End),
            (&BROKEN, []) => Some(Frame::Broken),
            _ => None,
        }
    }
}

fn about(id: RelayId, number: u64) -> String {
    format!("answer {id} {number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(room: &tempfile::TempDir, name: &str) -> Seal {
        Seal::at(&room.path().join(name)).unwrap()
    }

    #[test]
    fn frames_are_read_at_their_place_with_the_same_key_alone() {
        let room = tempfile::tempdir().unwrap();
        let (ours, other) = (seal(&room, "ours"), seal(&room, "other"));
        let [id, another] = [1, 2].map(|id| RelayId::new(fleet::Uuid::from_u128(id)));
        let cannot = Frame::Reply(Reply::Cannot("it is gone".into()));
        for frame in [cannot, Frame::Bytes(Bytes::from_static(b"Dear Anna")), Frame::End, Frame::Broken] {
            let sealed = frame.sealed(&ours, id, 7).unwrap();
            assert!(!sealed.windows(4).any(|four| four == b"Anna" || four == b"gone"));
            assert_eq!(Frame::opened(&ours, id, 7, &sealed), Some(frame));
            for (seal, id, number) in [(&other, id, 7), (&ours, another, 7), (&ours, id, 8)] {
                assert_eq!(Frame::opened(seal, id, number, &sealed), None);
            }
            assert_eq!(Frame::opened(&ours, id, 7, &sealed[..sealed.len() - 1]), None);
        }
        assert_eq!(Frame::opened(&ours, id, 7, &[]), None);
    }
}
