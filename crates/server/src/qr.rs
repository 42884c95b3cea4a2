//! QR codes, as SVG for pages and as blocks for terminals.

use qrcode::render::svg::Color;
use qrcode::{EcLevel, QrCode};

/// An SVG element; none if the text is too long for a code.
pub fn svg(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let svg = code.render::<Color<'_>>().min_dimensions(200, 200).build();
    // Within a page the declaration of the XML file has no place.
    Some(svg.split_once("?>").map_or(svg.as_str(), |(_, element)| element).to_owned())
}

/// Lines for a terminal, two rows of the code in each; none if the text is too long for a code. Dark is the background's
/// colour of a light terminal and the other way round: phones read both.
pub fn terminal(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let width = code.width();
    let colors = code.to_colors();
    let dark = |x: isize, y: isize| {
        let inside = |n: isize| usize::try_from(n).ok().filter(|n| *n < width);
        matches!((inside(x), inside(y)), (Some(x), Some(y)) if colors[y * width + x] == qrcode::Color::Dark)
    };
    let edge = width as isize + 2;
    let block = |x, y| match (dark(x, y), dark(x, y + 1)) {
        (false, false) => '█',
        (false, true) => '▀',
        (true, false) => '▄',
        (true, true) => ' ',
    };
    let line = |y| (-2..edge).map(|x| block(x, y)).collect::<String>() + "\n";
    Some((-2..edge).step_by(2).map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_an_element_without_scripts_and_styles() {
        let svg = svg("https://stead.example/enrol").unwrap();
        assert!(svg.trim_start().starts_with("<svg"), "{svg}");
        assert!(!svg.contains("style=") && !svg.contains("<script"));
    }

    #[test]
    fn the_terminal_shows_a_square() {
        let lines = terminal("https://127.0.0.1:8443/welcome/abc").unwrap();
        let widths: Vec<_> = lines.lines().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]));
        assert_eq!(widths.len(), widths[0].div_ceil(2));
    }

    #[test]
    fn what_is_too_long_is_no_code() {
        assert!(svg(&"x".repeat(5_000)).is_none());
    }
}
