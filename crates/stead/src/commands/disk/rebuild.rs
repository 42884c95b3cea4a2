//! `stead disk rebuild`: what a volume lay in is made anew, on empty devices.

use std::path::PathBuf;

use disks::image::StoredImages;
use disks::provider::SystemPrograms;
use disks::structure::{Layer, Passphrase, Rebuild, place_of};
use serde_json::json;

use super::restore::find_images;
use crate::failure::{Failure, Outcome};
use crate::open::Context;
use crate::render::table::printable;
use crate::select::FilterArgs;

/// Make the volume group or the encrypted container anew that an imaged volume lay in
///
/// For images of volumes (of LVM, or in an encrypted container): an image of a whole disk has all of that in its bytes. The
/// devices must be empty, and at least as large as those that they replace. A container gets a new key, and its passphrase is
/// asked for. Afterwards `stead disk restore` writes the image onto the volume.
///
/// Example: stead disk rebuild latest:vg-root /dev/sdb --dry-run
///          stead disk rebuild latest:vg-root /dev/sdb && stead disk restore latest:vg-root /dev/vg/root
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Which image: `latest`, or the start of a snapshot's id; with `:DISK` behind it where there are several
    #[arg(value_name = "SNAPSHOT[:DISK]")]
    snapshot: String,
    /// Devices to make it on, one for each that it lay on
    #[arg(value_name = "DEVICE", required = true)]
    devices: Vec<PathBuf>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Take the passphrase of an encrypted container from this file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Only show what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let output = context.output();
        let opened = context.open_shared()?;
        let (found, images) = find_images(&opened.repo, &self.snapshot, &self.filter.filter())?;
        let layers = layers(&images, found.subfolder.as_deref())?;
        let rebuild = Rebuild::plan(layers, &self.devices, &SystemPrograms).map_err(failed)?;
        let (steps, place) = (rebuild.steps(), place_of(layers));
        output.message(&json!({ "message_type": "plan", "steps": steps, "volume": place, "dry_run": self.dry_run }))?;
        let verb = if self.dry_run { "would " } else { "" };
        steps.iter().try_for_each(|step| output.remark(format_args!("{verb}{}", printable(step))))?;
        if !self.dry_run {
            let passphrase = self.passphrase_file.map_or(Passphrase::Asked, Passphrase::File);
            // Only root may look into it, and only LVM does.
            let text = std::env::temp_dir().join(format!("stead-group-{:016x}", rand::random::<u64>()));
            rebuild.execute(&passphrase, &text, &SystemPrograms).map_err(failed)?;
        }
        if let Some(place) = place {
            let place = place.display().to_string();
            output.remark(format_args!("then: stead disk restore {} {}", self.snapshot, printable(&place)))?;
        }
        opened.close(output);
        Ok(())
    }
}

fn failed(error: disks::structure::RebuildError) -> Failure {
    let hint = error.hint();
    hint.into_iter().fold(Failure::from(error), Failure::hint)
}

/// What the disk that is meant lay in.
fn layers<'i>(images: &'i StoredImages, name: Option<&str>) -> Outcome<&'i [Layer]> {
    let disks = &images.manifest.disks;
    let found = match name {
        Some(name) => disks.iter().find(|disk| disk.name == name.strip_suffix(".img").unwrap_or(name)),
        None if disks.len() == 1 => disks.first(),
        None => return Err(Failure::new("the snapshot holds several disks").hint("name one: `SNAPSHOT:DISK`")),
    };
    found.map(|disk| &*disk.structure).ok_or_else(|| Failure::new("the snapshot holds no such disk"))
}
