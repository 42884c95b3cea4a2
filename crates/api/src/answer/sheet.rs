//! A client's recovery sheet on the wire; what stands on it is told to nobody.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A machine that a sheet does not open yet.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Missing {
    /// What it is called.
    pub machine: String,
    /// Why.
    pub why: String,
}

/// How it stands with a client's recovery sheet.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Sheet {
    /// Whose.
    pub client: String,
    /// When somebody showed to have it; none: nobody did.
    pub confirmed: Option<String>,
    /// What is typed on the keeper's machine to print it.
    pub command: String,
    /// Which two of its groups show that somebody has it, counted from 1; none while the keeper cannot be asked.
    pub asks: Option<Vec<u8>>,
    /// The machines that it opens.
    pub opens: Vec<String>,
    /// Those that it does not open yet.
    pub missing: Vec<Missing>,
    /// Why nothing is known now.
    pub problem: Option<String>,
}

/// Two groups, typed from the paper.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SheetProof {
    /// The first that is asked for.
    pub first: String,
    /// The second.
    pub second: String,
}
