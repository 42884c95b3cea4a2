//! One key file, as restic lays it out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rand::TryRngCore;
use zeroize::Zeroizing;

use super::{KdfParams, KeyOrigin};
use crate::crypto::MasterKey;
use crate::node::NodeTime;

/// restic refuses any other length.
const SALT: usize = 64;

/// The JSON, members in restic's order.
#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct KeyFile {
    #[serde(default)]
    pub(super) created: String,
    #[serde(default)]
    pub(super) username: String,
    #[serde(default)]
    pub(super) hostname: String,
    kdf: String,
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
    salt: String,
    data: String,
}

impl KeyFile {
    /// Reads a key file; errors in words.
    pub(super) fn parse(json: &[u8]) -> Result<KeyFile, String> {
        if json.is_empty() {
            return Err("it is empty".into());
        }
        serde_json::from_slice(json).map_err(|error| format!("it is not a key file: {error}"))
    }

    /// A key file that opens `master` with `password`; an error in words if the parameters are out of bounds.
    pub(super) fn seal(
        master: &MasterKey,
        password: &[u8],
        params: KdfParams,
        origin: &KeyOrigin,
    ) -> Result<KeyFile, String> {
        let mut salt = [0; SALT];
        rand::rngs::OsRng.try_fill_bytes(&mut salt).map_err(|error| format!("no random bytes: {error}"))?;
        let mut data = Vec::new();
        params.derive(password, &salt)?.seal(&master.to_json(), &mut data);
        Ok(KeyFile {
            created: NodeTime::from(&origin.created).to_string(),
            username: origin.username.clone(),
            hostname: origin.hostname.clone(),
            kdf: "scrypt".into(),
            n: params.n,
            r: params.r,
            p: params.p,
            salt: BASE64.encode(salt),
            data: BASE64.encode(data),
        })
    }

    /// The master key; `None` if the password is another one. Errors, in words, if no password can open the file.
    pub(super) fn open(&self, password: &[u8]) -> Result<Option<MasterKey>, String> {
        if self.kdf != "scrypt" {
            return Err(format!("it needs the key derivation {:?}", self.kdf));
        }
        let salt = BASE64.decode(&self.salt).map_err(|error| format!("its salt is no base64: {error}"))?;
        let data = BASE64.decode(&self.data).map_err(|error| format!("its data is no base64: {error}"))?;
        if salt.is_empty() || data.len() <= crate::crypto::OVERHEAD {
            return Err("its salt or its data is missing".into());
        }
        let user = KdfParams { n: self.n, r: self.r, p: self.p }.derive(password, &salt)?;
        let mut json = Zeroizing::new(data);
        match user.open(&mut json) {
            Err(_) => Ok(None),
            Ok(json) => MasterKey::from_json(json).map(Some).ok_or_else(|| "the master key in it is invalid".into()),
        }
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a key file is JSON")
    }
}
