//! Why a request over HTTP failed, in the words of its deepest causes: "error sending request" alone helps nobody.

use std::error::Error;

use crate::pin::Unpinned;

/// An error and its causes, from the outermost.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'e (dyn Error + 'static)| (*error).source())
}

/// The words of an error and of all its causes that say more.
pub(crate) fn words(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    for cause in causes(error) {
        let text = cause.to_string();
        if !words.iter().any(|known| known.contains(&text)) {
            words.push(text);
        }
    }
    words.join(": ")
}

/// What an error of input and output was made of: those hide it from whoever asks for causes.
fn innermost<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => innermost(inner),
        None => error,
    }
}

/// Whether the server was not believed.
pub(crate) fn is_unbelieved(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        let tls = innermost(cause).downcast_ref::<rustls::Error>();
        matches!(tls, Some(rustls::Error::InvalidCertificate(_))) || cause.is::<Unpinned>()
    })
}
