//! Small pictures of the last ten minutes: SVG without a style of its own, so that no policy has to
//! allow one. What they show is beside them in words and numbers.

use std::fmt;
use std::fmt::Write as _;

use super::markup::Text;
use crate::telemetry::{Outcome, Traffic};

/// Calls by outcome, one column for each period, its parts on top of each other.
pub(super) fn outcomes(html: &mut String, traffic: &Traffic) -> fmt::Result {
    let columns = &traffic.outcomes;
    let most = columns.iter().map(|column| column.iter().sum::<u32>()).max().unwrap_or(0);
    write!(html, "<figure>")?;
    open(
        html,
        "wide",
        columns.len(),
        &format!("Calls of the last ten minutes, by outcome; at most {most} in five seconds"),
    )?;
    let scale = HEIGHT / f64::from(most.max(1));
    let mut below = vec![0; columns.len()];
    for outcome in Outcome::ALL {
        let index = *outcome as usize;
        let mut path = String::new();
        for (x, column) in columns.iter().enumerate() {
            if column[index] != 0 {
                let top = HEIGHT - f64::from(below[x] + column[index]) * scale;
                bar(&mut path, x, top, f64::from(column[index]) * scale)?;
                below[x] += column[index];
            }
        }
        if !path.is_empty() {
            write!(html, "<path class=o{index} d=\"{path}\"/>")?;
        }
    }
    html.push_str("</svg><figcaption><span>10 minutes ago</span>");
    write!(html, "<span>at most {most} in 5 s</span><span>now</span></figcaption></figure>")
}

/// One number for each period; none: nothing happened in it.
pub(super) fn line(
    html: &mut String,
    label: &str,
    numbers: impl ExactSizeIterator<Item = Option<f64>> + Clone,
) -> fmt::Result {
    let most = numbers.clone().flatten().fold(0.0, f64::max);
    open(html, "small", numbers.len(), label)?;
    let mut path = String::new();
    for (x, number) in numbers.enumerate() {
        let height = number.map_or(0.0, |number| HEIGHT * number / most.max(f64::MIN_POSITIVE));
        if 0.0 < height {
            // What is there can be seen, however small.
            let height = height.max(4.0);
            bar(&mut path, x, HEIGHT - height, height)?;
        }
    }
    write!(html, "<path class=line d=\"{path}\"/></svg>")
}

/// How much of something is taken.
pub(super) fn fill(html: &mut String, taken: usize, most: usize, nearly_full: bool) -> fmt::Result {
    #[expect(clippy::cast_precision_loss, reason = "it is drawn a hundred pixels wide")]
    let share = (taken as f64 / most.max(1) as f64).min(1.0) * 100.0;
    let class = if nearly_full { "full" } else { "line" };
    html.push_str(
        "<svg class=fill viewBox=\"0 0 100 10\" preserveAspectRatio=none aria-hidden=true>",
    );
    write!(html, "<path class={class} d=\"M0 0h{share:.1}v10H0z\"/></svg>")
}

fn open(html: &mut String, class: &str, columns: usize, label: &str) -> fmt::Result {
    write!(
        html,
        "<svg class={class} viewBox=\"0 0 {columns} {HEIGHT}\" preserveAspectRatio=none role=img \
         aria-label=\"{}\">",
        Text(label)
    )
}

fn bar(path: &mut String, x: usize, top: f64, height: f64) -> fmt::Result {
    write!(path, "M{x} {top:.1}h1v{height:.1}h-1z")
}

const HEIGHT: f64 = 100.0;
