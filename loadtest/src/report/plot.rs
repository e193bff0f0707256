//! Latency against load, as an SVG.

use plotters::prelude::{
    BLACK, BLUE, ChartBuilder, Color as _, GREEN, IntoDrawingArea as _, IntoLogRange as _,
    LineSeries, PathElement, RED, RGBColor, SVGBackend, WHITE,
};

use super::{Report, Step};
use crate::tally::Latency;

/// The size of the plot, in pixels.
const SIZE: (u32, u32) = (960, 540);

/// Why there is no plot.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// One step makes no line.
    #[error("a plot needs two steps with answers, such as those of `--mode curve`")]
    TooFew,
    /// It cannot be drawn.
    #[error("the plot cannot be drawn: {0}")]
    Draw(String),
}

type Line = (&'static str, RGBColor, fn(&Latency) -> f64);

const LINES: [Line; 3] = [
    ("p50", GREEN, |latency| latency.p50_us),
    ("p99", BLUE, |latency| latency.p99_us),
    ("p99.9", RED, |latency| latency.p999_us),
];

/// The steps of the open loop as lines, latency over answers a second.
///
/// # Errors
/// [`PlotError`] if there are fewer than two.
pub fn plot(report: &Report) -> Result<String, PlotError> {
    let open = |step: &&Step| step.rate.is_some() && step.summary.all.count > 0;
    let mut steps: Vec<&Step> = report.steps.iter().filter(open).collect();
    let rate = |step: &Step| step.summary.requests_per_second;
    steps.sort_by(|one, other| rate(one).total_cmp(&rate(other)));
    let (Some(last), true) = (steps.last(), steps.len() > 1) else { return Err(PlotError::TooFew) };
    let all = || steps.iter().map(|step| &step.summary.all);
    let least = all().map(|latency| latency.p50_us).fold(f64::MAX, f64::min).max(0.1);
    let most = all().map(|latency| latency.p999_us).fold(least, f64::max);
    let mut svg = String::new();
    draw(&mut svg, report, &steps, (rate(last) * 1.05, least / 2.0, most * 2.0))
        .map_err(|error| PlotError::Draw(error.to_string()))?;
    Ok(svg)
}

fn draw(
    svg: &mut String,
    report: &Report,
    steps: &[&Step],
    (widest, least, most): (f64, f64, f64),
) -> Result<(), Box<dyn std::error::Error>> {
    let told = |error: &dyn std::error::Error| error.to_string();
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(|error| told(&error))?;
    let mut chart = ChartBuilder::on(&area)
        .caption(&report.about, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d(0.0..widest, (least..most).log_scale())
        .map_err(|error| told(&error))?;
    chart
        .configure_mesh()
        .x_desc("answers a second")
        .y_desc("latency from the intended time, us")
        .draw()
        .map_err(|error| told(&error))?;
    for (name, color, value) in LINES {
        let points = steps.iter().map(|step| {
            let latency = &step.summary.all;
            (step.summary.requests_per_second, value(latency).max(least))
        });
        let line = LineSeries::new(points, color.stroke_width(2)).point_size(3);
        chart
            .draw_series(line)
            .map_err(|error| told(&error))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()
        .map_err(|error| told(&error))?;
    area.present().map_err(|error| told(&error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Machine;
    use crate::tally::Summary;

    fn step(rate: f64, p50_us: f64) -> Step {
        let all = Latency { count: 10, p50_us, p99_us: 3.0, p999_us: 9.0, ..Latency::default() };
        let summary = Summary { requests_per_second: rate, all, ..Summary::default() };
        Step { label: "check".to_owned(), rate: Some(rate), summary }
    }

    #[test]
    fn two_steps_make_three_lines() {
        let about = "checks <&>".to_owned();
        let steps = vec![step(200.0, 2.0), step(100.0, 1.0)];
        let report = Report { machine: Machine::this(), about, steps };
        let svg = plot(&report).unwrap();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{svg}");
        // Each line and its two points.
        assert_eq!(svg.matches("stroke-width=\"2\"").count(), 9);
        assert!(!svg.contains("<&>"));
        let one = Report { steps: vec![step(1.0, 1.0)], ..report };
        assert!(matches!(plot(&one), Err(PlotError::TooFew)));
    }
}
