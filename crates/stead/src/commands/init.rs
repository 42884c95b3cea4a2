//! `stead init`: a new repository.

use repo::Repository;
use repo::chunk::ChunkerKind;
use repo::repository::InitOptions;
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::open::{Context, SourceArgs};

/// Make a new repository
///
/// Example: stead init -r sftp:backup@nas:/volume1/office
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How files are cut into chunks: gear (fast) or rabin (the same cuts as restic, for repositories that it writes to as well)
    #[arg(long, value_name = "KIND", value_parser = chunker, conflicts_with = "copy_chunker_params")]
    chunker: Option<ChunkerKind>,
    /// Format version: 1, 2, stable or latest
    #[arg(long, value_name = "VERSION", default_value = "stable", value_parser = format_version)]
    repository_version: u32,
    /// Cut files as the repository given by --from-repo does, so that copies from it share blobs
    #[arg(long)]
    copy_chunker_params: bool,
    #[command(flatten)]
    from: SourceArgs,
}

fn chunker(text: &str) -> Result<ChunkerKind, String> {
    match text {
        "gear" => Ok(ChunkerKind::Gear),
        "rabin" => Ok(ChunkerKind::Rabin),
        _ => Err(format!("`{text}` is neither gear nor rabin")),
    }
}

fn format_version(text: &str) -> Result<u32, String> {
    match text {
        "stable" | "latest" | "2" | "" => Ok(2),
        "1" => Ok(1),
        _ => Err(format!("`{text}` is not one of 1, 2, stable, latest")),
    }
}

#[derive(Serialize)]
struct Initialized<'a> {
    message_type: &'static str,
    id: &'a repo::Id,
    repository: &'a str,
}

/// How the new repository cuts files.
struct Cuts {
    chunker: ChunkerKind,
    polynomial: Option<String>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let location = context.settings.location.clone().ok_or_else(|| {
            Failure::new("no repository location was given")
                .hint("name one with `-r`; `stead backup PATH` makes one for you where you name none")
        })?;
        let cuts = self.cuts(context)?;
        let password = context.settings.password.read_new("password for the new repository")?;
        let options = InitOptions {
            chunker: cuts.chunker,
            chunker_polynomial: cuts.polynomial,
            version: self.repository_version,
            kdf: password.kdf(),
            origin: context.key_origin(None, None),
        };
        let storage = context.storage(&location)?;
        let repo = Repository::init(storage, password.bytes(), &options, context.open_options())?;
        let (id, output) = (repo.id(), context.output());
        output.message(&Initialized { message_type: "initialized", id, repository: &location })?;
        output.result(format_args!("created restic repository {} at {location}", &id.to_string()[..10]))?;
        output
            .remark("\nKeep the password safe: without it nobody, you included, can read anything in this repository.")
    }

    fn cuts(&self, context: &Context) -> Outcome<Cuts> {
        let chosen = self.chunker.unwrap_or_default();
        if !self.copy_chunker_params {
            if self.from.is_given() {
                return Err(Failure::new("--from-repo is of use only with --copy-chunker-params"));
            }
            return Ok(Cuts { chunker: chosen, polynomial: None });
        }
        let source = self.from.open(context)?;
        if source.repo.config().other.contains_key("stead") {
            return Err(Failure::new(
                "the source cuts files with the gear chunker, whose cuts belong to that one repository: they are made \
                 from its id, so that no other can cut at the same places",
            )
            .hint(
                "leave `--copy-chunker-params` away: copies work all the same, only files backed up to both are stored \
                 twice. Where they must share, make the source anew with `--chunker rabin` and then this one",
            ));
        }
        let polynomial = source.repo.config().chunker_polynomial.clone();
        Ok(Cuts { chunker: ChunkerKind::Rabin, polynomial: Some(polynomial) })
    }
}
