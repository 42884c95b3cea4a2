//! Images of disks for the agent, made as `stead disk backup` makes them.

use agent::{ImageRequest, Imaged, Imaging};
use fleet::Missed;

use crate::commands::disk::backup;
use crate::open::Context;
use crate::output::Output;
use crate::render::size;

/// Makes them, silently.
pub(super) struct Images(pub(super) Context);

impl Imaging for Images {
    fn image(&self, request: &ImageRequest<'_>) -> Result<Imaged, String> {
        let mut context = self.0.clone();
        context.cancel = request.cancel.clone();
        context.settings.output = Output { level: 0, ..context.settings.output };
        let args = backup::Args::of_agent(request.devices, request.host, request.state);
        let made = args.image(&context, request.repo, request.progress);
        let (id, gaps) = made.map_err(|failure| failure.to_string())?;
        let missed = gaps.into_iter().map(|(path, bytes)| Missed {
            what: path.display().to_string(),
            why: format!("{} could not be read and are zeros", size::bytes(bytes)),
        });
        Ok(Imaged { snapshot: id.to_string(), missed: missed.collect() })
    }
}
