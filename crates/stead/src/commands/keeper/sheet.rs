//! `stead keeper sheet`: a client's recovery sheet, made where the keeper is. No server learns what stands on it.

use std::path::{Path, PathBuf};

use fleet::ClientId;
use keeper::home::{Home, write_private};
use keeper::keys::Keys;
use keeper::recovery::{self, Sheets};
use serde::Serialize;

use super::{OpenerArgs, Phrase};
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// Groups in a line of the sheet.
const IN_A_LINE: usize = 6;

/// Print a client's recovery sheet: what opens all of its repositories with plain restic
///
/// Whoever has the sheet can read all backups of the client. Print it, put it away where the machines are not, and type two of its
/// groups on the client's page, so that everybody knows it is there. It can be printed again, and is the same each time.
/// The keeper may run meanwhile.
///
/// Example: stead keeper sheet 01a1b2c3-… --name 'Harbour Dental' --page sheet.html
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The client, as its page names it
    #[arg(value_name = "CLIENT")]
    client: ClientId,
    /// What the client is called on the sheet
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,
    /// Write a page to print, that nobody else can read, instead of showing the password here. Delete it when it is printed
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    #[command(flatten)]
    opener: OpenerArgs,
}

#[derive(Serialize)]
struct Told<'t> {
    message_type: &'static str,
    client: ClientId,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'t Path>,
}

impl Args {
    pub(super) fn run(self, home: &Home, output: Output) -> Outcome {
        if !home.keys().exists() {
            let hint = "with `stead up`, add --state and the directory `keeper` in its data directory";
            return Err(Failure::new("there is no keeper with keys in this directory").hint(hint));
        }
        let keys = Keys::open(&home.keys(), &self.opener.opener(home, Phrase::Known)?)?;
        let password = Sheets::of(home, &keys).password(self.client)?;
        let code = recovery::payload(self.client, &password);
        match &self.page {
            Some(page) => self.write(page, &password, &code, output),
            None => self.show(&password, &code, output),
        }
    }

    fn show(&self, password: &str, code: &str, output: Output) -> Outcome {
        let (message_type, client) = ("recovery_sheet", self.client);
        output.message(&Told { message_type, client, password: Some(password), page: None })?;
        for line in lines(password) {
            output.result(line)?;
        }
        if let Some(picture) = server::qr::terminal(code) {
            output.remark(format_args!("\n{picture}"))?;
        }
        output.remark("All of it as one line, with single spaces, is the password for restic.")
    }

    fn write(&self, page: &Path, password: &str, code: &str, output: Output) -> Outcome {
        let picture = server::qr::svg(code).ok_or_else(|| Failure::new("cannot draw the code of the sheet"))?;
        write_private(page, printable(self.client, &self.name, password, &picture).as_bytes())?;
        let (message_type, client) = ("recovery_sheet", self.client);
        output.message(&Told { message_type, client, password: None, page: Some(page) })?;
        output.result(format_args!("{}", page.display()))?;
        output.remark("Open it in a browser, print it, and delete it.")
    }
}

fn lines(password: &str) -> Vec<String> {
    let groups: Vec<_> = password.split(' ').collect();
    groups.chunks(IN_A_LINE).map(|line| line.join(" ")).collect()
}

/// The page; the groups are numbered as the client's page asks for them.
fn printable(client: ClientId, name: &str, password: &str, picture: &str) -> String {
    let groups: String = password.split(' ').map(|group| format!("<li>{group}</li>")).collect();
    include_str!("sheet.html")
        .replace("@NAME@", &escaped(if name.is_empty() { "a client" } else { name }))
        .replace("@CLIENT@", &client.to_string())
        .replace("@GROUPS@", &groups)
        .replace("@PASSWORD@", password)
        .replace("@CODE@", picture)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('@', "&#64;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_has_every_group_and_names_that_are_markup_stay_text() {
        let client = "01a1b2c3-0000-7000-8000-000000000001".parse().unwrap();
        let password = (0..24).map(|number| format!("{number:04}")).collect::<Vec<_>>().join(" ");
        let page = printable(client, "<b>Müller & Söhne</b> @PASSWORD@", &password, "<svg></svg>");
        assert_eq!(page.matches("<li>").count(), 24);
        assert!(page.contains("&lt;b&gt;Müller &amp; Söhne&lt;/b&gt;") && page.contains("01a1b2c3-0000"), "{page}");
        assert!(page.contains(&format!("RESTIC_PASSWORD='{password}'")));
        assert_eq!(page.matches(password.as_str()).count(), 1, "a name puts nothing in");
        assert!(!page.contains("@GROUPS@") && !page.contains("src=") && !page.contains("<script"));
        assert_eq!(lines(&password).len(), 4);
    }
}
