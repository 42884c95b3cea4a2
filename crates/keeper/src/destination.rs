//! Destinations that copies go to, and the secrets that reach them: a file for each in the keeper's directory.
//!
//! The file is named by the destination's id and has lines `NAME=value`: restic's names of credentials
//! (`AWS_ACCESS_KEY_ID`, …), or settings as `-o` takes them (`sftp.args=…`). Empty lines and `#` are passed over.

use std::path::Path;

use backend::{CREDENTIALS, Location, Options};
use fleet::{Destination, MachineId};

use crate::storage::Place;
use crate::{Error, Result};

/// Where copies of a machine's repository go: a folder of its own below the destination's place.
pub fn place_of(destination: &Destination, machine: MachineId, secrets: &Path) -> Result<Place> {
    let name = &destination.name;
    let fleet::Place::Copies(address) = &destination.place else {
        return Err(Error::Refused(format!("destination {name:?} is the gateway: nothing is copied to it")));
    };
    let address = format!("{}/{machine}", address.trim_end_matches('/'));
    let location: Location = address
        .parse()
        .map_err(|error| Error::Refused(format!("destination {name:?} is at no place that is known: {error}")))?;
    let file = secrets.join(destination.id.to_string());
    let options = match std::fs::read_to_string(&file) {
        Ok(text) => options(&text).map_err(|why| Error::Refused(format!("cannot use {}: {why}", file.display())))?,
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::file("read", file)(error)),
        Err(_) if needs_secrets(&location) => {
            return Err(Error::Refused(format!(
                "the keeper has no secrets for destination {name:?}: put lines such as AWS_ACCESS_KEY_ID=… into {}",
                file.display()
            )));
        }
        Err(_) => Options::default(),
    };
    Ok(Place { location, options })
}

fn needs_secrets(location: &Location) -> bool {
    matches!(location, Location::S3 { .. } | Location::Azure { .. } | Location::Google { .. })
}

fn options(text: &str) -> std::result::Result<Options, String> {
    let mut options = Options::default();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // What stands behind the sign may be a secret and is in no error.
        let number = number + 1;
        let (name, value) = line.split_once('=').ok_or_else(|| format!("line {number} is not NAME=value"))?;
        let (name, value) = (name.trim(), value.trim());
        if CREDENTIALS.contains(&name) {
            options.credentials.insert(name.to_owned(), value.to_owned());
        } else if options.set(&format!("{name}={value}")).is_err() {
            return Err(format!("line {number}: {name} is no credential and no setting that is known"));
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use fleet::{DestinationId, Distance, TenantId, Uuid};

    use super::*;

    fn destination(address: &str) -> Destination {
        Destination {
            id: DestinationId::new(Uuid::from_u128(7)),
            tenant: TenantId::new(Uuid::from_u128(1)),
            name: "Vault".into(),
            place: fleet::Place::Copies(address.into()),
            distance: Distance::Offsite,
        }
    }

    #[test]
    fn an_object_store_without_secrets_is_refused_with_the_file_that_is_missing() {
        let room = tempfile::tempdir().unwrap();
        let machine = MachineId::new(Uuid::from_u128(2));
        let vault = destination("s3:https://store/vault");
        let refused = place_of(&vault, machine, room.path()).err().unwrap().to_string();
        assert!(refused.contains(&vault.id.to_string()), "{refused}");
        let secrets = "# Vault\nAWS_ACCESS_KEY_ID = me\nAWS_SECRET_ACCESS_KEY=x=y\ns3.region=eu\n";
        std::fs::write(room.path().join(vault.id.to_string()), secrets).unwrap();
        let place = place_of(&vault, machine, room.path()).unwrap();
        assert_eq!(place.options.credentials["AWS_SECRET_ACCESS_KEY"], "x=y");
        assert!(place.location.to_string().ends_with(&format!("vault/{machine}")));
        std::fs::write(room.path().join(vault.id.to_string()), "SECRET_SAUCE=hot\n").unwrap();
        let refused = place_of(&vault, machine, room.path()).err().unwrap().to_string();
        assert!(refused.contains("SECRET_SAUCE") && !refused.contains("hot"), "{refused}");
    }

    #[test]
    fn a_directory_needs_no_secrets_and_every_machine_has_its_own() {
        let room = tempfile::tempdir().unwrap();
        let [one, two] = [1, 2].map(|number| MachineId::new(Uuid::from_u128(number)));
        let vault = destination("/mnt/vault/");
        let place = |machine| place_of(&vault, machine, room.path()).unwrap().location.to_string();
        assert_eq!(place(one), format!("/mnt/vault/{one}"));
        assert_ne!(place(one), place(two));
    }
}
