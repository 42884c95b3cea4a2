//! LUKS, versions 1 and 2: the header tells where the ciphertext begins. All of it is used; nobody can tell what is free in it.

use super::fields::{be16, be32, be64, part, text};
use super::source::{Damage, Source, wrong};
use super::{Found, Inside, Kind, State, Usage};

/// The largest header area of version 2.
const LARGEST: u64 = 4 << 20;

/// Where the encrypted volume lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Luks {
    /// 1 or 2.
    pub version: u16,
    /// Where the ciphertext begins: everything below is headers and key slots. None if it is not on this volume or unclear.
    pub payload: Option<u64>,
}

pub(super) fn examine(source: &Source<'_>) -> Found {
    let header = source.record("the LUKS header", 0, 4096.min(source.size()))?;
    if part(&header, 0, 6) != b"LUKS\xba\xbe" {
        return Ok(None);
    }
    let version = be16(&header, 6);
    let mut usage = Usage::of(Kind::Luks, source.size());
    usage.uuid = text(&header, 168, 40);
    let payload = match version {
        1 => Ok(u64::from(be32(&header, 104)) * 512),
        2 => {
            usage.label = text(&header, 24, 48);
            payload_of_2(source, &header)
        }
        _ => wrong(format!("version {version} of LUKS is unknown")),
    };
    let payload = match payload {
        Ok(0) => wrong("its ciphertext is on another device"),
        Ok(start) if start >= source.size() => wrong("its ciphertext would begin beyond the end"),
        other => other,
    };
    usage.state = if payload.is_ok() { State::Clean } else { State::Unknown };
    if let Err(damage) = &payload {
        usage.warn(damage.to_string());
    }
    usage.inside = Some(Inside::Luks(Luks { version, payload: payload.ok() }));
    Ok(Some(usage))
}

fn payload_of_2(source: &Source<'_>, header: &[u8]) -> Result<u64, Damage> {
    let size = be64(header, 8);
    if !(4096..=LARGEST).contains(&size) {
        return wrong("the header's size makes no sense");
    }
    let text = source.record("the LUKS header", 4096, size - 4096)?;
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(&text[..end]) else {
        return wrong("the header's text is damaged");
    };
    let segments = json["segments"].as_object().into_iter().flatten();
    let offsets = segments.filter_map(|(_, segment)| segment["offset"].as_str()?.parse::<u64>().ok());
    offsets.min().ok_or_else(|| Damage::Wrong("the header names no segment".into()))
}
