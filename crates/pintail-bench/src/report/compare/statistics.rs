//! Whether two sets of figures differ by more than they scatter.

/// What is known of a figure from several runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) runs: usize,
    pub(super) mean: f64,
    /// The sample variance (divided by one less than the number of runs); 0 for a single run.
    pub(super) variance: f64,
}

impl Spread {
    /// Of these figures; `None` if there are none.
    pub(super) fn of(figures: &[f64]) -> Option<Self> {
        let runs = figures.len();
        if runs == 0 {
            return None;
        }
        let mean = figures.iter().sum::<f64>() / runs as f64;
        let squares: f64 = figures.iter().map(|figure| (figure - mean).powi(2)).sum();
        let variance = if runs > 1 { squares / (runs - 1) as f64 } else { 0.0 };
        Some(Self { runs, mean, variance })
    }

    pub(super) fn deviation(&self) -> f64 {
        self.variance.sqrt()
    }

    /// With a variance of at least this.
    pub(super) fn at_least(self, variance: f64) -> Self {
        Self { variance: self.variance.max(variance), ..self }
    }
}

/// How likely figures of one distribution would differ as much as these, by Welch's t-test (B. L. Welch, "The
/// generalization of Student's problem when several different population variances are involved", 1947). `None` if a side
/// has fewer than two runs, so that its noise isn't known.
pub(super) fn chance(before: Spread, after: Spread) -> Option<f64> {
    if before.runs < 2 || after.runs < 2 {
        return None;
    }
    let (a, b) = (before.variance / before.runs as f64, after.variance / after.runs as f64);
    let difference = after.mean - before.mean;
    if a + b <= 0.0 {
        return Some(if difference == 0.0 { 1.0 } else { 0.0 });
    }
    let t = difference / (a + b).sqrt();
    // The degrees of freedom by the formula of Welch and Satterthwaite.
    let freedom = (a + b).powi(2) / (a.powi(2) / (before.runs - 1) as f64 + b.powi(2) / (after.runs - 1) as f64);
    // Both tails of Student's distribution.
    Some(incomplete_beta(freedom / (freedom + t * t), freedom / 2.0, 0.5))
}

/// Which of these chances are small enough that, with this chance in all, none of them is a mere accident: Holm's
/// procedure (S. Holm, "A simple sequentially rejective multiple test procedure", 1979). Many figures are compared at
/// once, and with a bound for each alone, one of them would often seem to have changed.
pub(super) fn significant(chances: &[f64], accident_max: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..chances.len()).collect();
    order.sort_by(|&a, &b| chances[a].total_cmp(&chances[b]));
    let mut significant = vec![false; chances.len()];
    for (rank, &index) in order.iter().enumerate() {
        if chances[index] > accident_max / (chances.len() - rank) as f64 {
            break;
        }
        significant[index] = true;
    }
    significant
}

/// The regularised incomplete beta function, by its continued fraction (Abramowitz and Stegun, 26.5.8).
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    let front = (log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp();
    // The fraction converges quickly on one side of the mean, and the function is symmetric.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(x, a, b) / a
    } else {
        1.0 - front * beta_fraction(1.0 - x, b, a) / b
    }
}

/// The continued fraction, by Lentz's method as Thompson and Barnett changed it (1986).
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    const STEPS_MAX: u32 = 300;
    const PRECISION: f64 = 1e-12;
    let not_zero = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / not_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..=STEPS_MAX {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut factor = 1.0;
        for term in [even, odd] {
            d = 1.0 / not_zero(1.0 + term * d);
            c = not_zero(1.0 + term / c);
            factor = c * d;
            fraction *= factor;
        }
        if (factor - 1.0).abs() < PRECISION {
            break;
        }
    }
    fraction
}

/// The logarithm of the gamma function for a number above 0, by Stirling's series.
fn log_gamma(x: f64) -> f64 {
    // The series is exact to twelve digits from here on; below, Γ(x) = Γ(x + 1) / x leads there.
    const SERIES_FROM: f64 = 12.0;
    let (mut x, mut product) = (x, 1.0);
    while x < SERIES_FROM {
        product *= x;
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series = (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series - product.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(figures: &[f64]) -> Spread {
        Spread::of(figures).expect("figures")
    }

    #[test]
    fn spreads_are_of_samples() {
        assert_eq!(spread(&[2.0, 4.0, 6.0]), Spread { runs: 3, mean: 4.0, variance: 4.0 });
        assert_eq!(spread(&[5.0]).variance, 0.0);
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn the_functions_are_those_of_the_tables() {
        for (x, expected) in [(0.5, 0.572_364_942_9), (1.0, 0.0), (5.0, 24_f64.ln()), (10.5, 13.940_625_219_4)] {
            assert!((log_gamma(x) - expected).abs() < 1e-9, "Γ({x}): {}", log_gamma(x));
        }
        // Two-sided chances of Student's t, from a printed table: degrees of freedom, t, chance.
        for (freedom, t, expected) in [
            (1.0, 12.706_2, 0.05),
            (2.0, 9.924_8, 0.01),
            (4.0, 2.776_4, 0.05),
            (10.0, 3.169_3, 0.01),
            (60.0, 2.000_3, 0.05),
        ] {
            let chance = incomplete_beta(freedom / (freedom + t * t), freedom / 2.0, 0.5);
            assert!((chance - expected).abs() < 2e-5, "{freedom} degrees, t {t}: {chance}");
        }
    }

    #[test]
    fn chances_are_welchs() {
        // Worked by hand: means 3 and 6, variances 2.5 and 10, t = -1.897, 5.88 degrees of freedom.
        let chance = chance(spread(&[1.0, 2.0, 3.0, 4.0, 5.0]), spread(&[2.0, 4.0, 6.0, 8.0, 10.0]));
        assert!((chance.expect("five runs each") - 0.107_531).abs() < 1e-4, "{chance:?}");
    }

    #[test]
    fn one_run_has_no_noise_to_know() {
        assert_eq!(chance(spread(&[1.0]), spread(&[2.0, 3.0])), None);
        assert_eq!(chance(spread(&[1.0, 1.0]), spread(&[1.0, 1.0])), Some(1.0));
        assert_eq!(chance(spread(&[1.0, 1.0]), spread(&[2.0, 2.0])), Some(0.0));
    }

    #[test]
    fn many_chances_need_smaller_ones() {
        assert_eq!(significant(&[0.04], 0.05), [true]);
        assert_eq!(significant(&[0.04, 0.5, 0.6], 0.05), [false, false, false]);
        assert_eq!(significant(&[0.9, 0.001, 0.02, 0.03], 0.05), [false, true, false, false]);
        assert_eq!(significant(&[], 0.05), [false; 0]);
    }
}
