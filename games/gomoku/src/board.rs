//! The board: where stones are, and when five are in a row.

use serde::{Deserialize, Serialize};

/// How many stones in a row win. More are as good.
const ROW: usize = 5;

/// A crossing of the board, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// The column, from the left.
    pub x: u8,
    /// The row, from the top.
    pub y: u8,
}

/// Why no stone can be put there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    OffBoard,
    Occupied,
}

/// What a stone brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    GoesOn,
    /// These stones are the row that wins.
    Row(Vec<Point>),
    Full,
}

/// A board and the stones on it, in the order in which they were put there, by the two sides in turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Board {
    size: u8,
    stones: Vec<Point>,
}

impl Board {
    pub(crate) const fn new(size: u8) -> Self {
        Self { size, stones: Vec::new() }
    }

    pub(crate) const fn size(&self) -> u8 {
        self.size
    }

    pub(crate) fn stones(&self) -> &[Point] {
        &self.stones
    }

    /// Puts down the next stone of the side whose turn it is.
    pub(crate) fn put(&mut self, point: Point) -> Result<Effect, Unfit> {
        if point.x >= self.size || point.y >= self.size {
            return Err(Unfit::OffBoard);
        }
        if self.stones.contains(&point) {
            return Err(Unfit::Occupied);
        }
        self.stones.push(point);
        if let Some(row) = self.row_through(point) {
            return Ok(Effect::Row(row));
        }
        let crossings = usize::from(self.size) * usize::from(self.size);
        Ok(if self.stones.len() == crossings { Effect::Full } else { Effect::GoesOn })
    }

    fn row_through(&self, last: Point) -> Option<Vec<Point>> {
        // The last stone is of the side that put down every second one before it.
        let own: Vec<_> = self.stones.iter().rev().step_by(2).copied().collect();
        [(1, 0), (0, 1), (1, 1), (1, -1)].into_iter().find_map(|(dx, dy)| {
            let run =
                |sign: i8| (1..).map_while(move |distance| shifted(last, dx * sign * distance, dy * sign * distance));
            let mut row: Vec<_> = run(-1).take_while(|point| own.contains(point)).collect();
            row.reverse();
            row.push(last);
            row.extend(run(1).take_while(|point| own.contains(point)));
            (row.len() >= ROW).then_some(row)
        })
    }
}

fn shifted(point: Point, dx: i8, dy: i8) -> Option<Point> {
    Some(Point { x: point.x.checked_add_signed(dx)?, y: point.y.checked_add_signed(dy)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(x: u8, y: u8) -> Point {
        Point { x, y }
    }

    /// Plays one side's stones with the other side's far away; returns what the last one brought about.
    fn play(own: &[Point]) -> Effect {
        let mut board = Board::new(19);
        // No three of these are in a row with equal distances of 1.
        let mut other = (0..19).step_by(2).flat_map(|y| [point(18, y), point(16, y)]);
        let mut effect = Effect::GoesOn;
        for (index, stone) in own.iter().enumerate() {
            if index > 0 {
                assert_eq!(board.put(other.next().unwrap()), Ok(Effect::GoesOn));
            }
            effect = board.put(*stone).unwrap();
        }
        effect
    }

    #[test]
    fn five_win_in_all_four_directions_whichever_comes_last() {
        let rows: [fn(u8) -> Point; 4] =
            [|i| point(3 + i, 7), |i| point(7, 3 + i), |i| point(3 + i, 4 + i), |i| point(3 + i, 12 - i)];
        for row in rows {
            let stones: Vec<_> = (0..5).map(row).collect();
            for last in 0..5 {
                let mut order = stones.clone();
                let stone = order.remove(last);
                order.push(stone);
                assert_eq!(play(&order), Effect::Row(stones.clone()), "{order:?}");
            }
            assert_eq!(play(&stones[..4]), Effect::GoesOn);
        }
    }

    #[test]
    fn more_than_five_win_too_and_a_gap_does_not() {
        let gap: Vec<_> = [0, 1, 2, 4, 5].map(|x| point(x, 0)).into();
        assert_eq!(play(&gap), Effect::GoesOn);
        let closed = [gap.as_slice(), &[point(3, 0)]].concat();
        assert_eq!(play(&closed), Effect::Row((0..6).map(|x| point(x, 0)).collect()));
    }

    #[test]
    fn a_row_does_not_go_around_the_edge() {
        let mut board = Board::new(9);
        for (x, y) in [(7, 0), (0, 5), (8, 0), (2, 5), (0, 1), (4, 5), (1, 1), (6, 5), (2, 1)] {
            assert_eq!(board.put(point(x, y)), Ok(Effect::GoesOn));
        }
    }

    #[test]
    fn the_other_sides_stones_break_a_row() {
        let mut board = Board::new(9);
        for x in 0..8 {
            assert_eq!(board.put(point(x, 0)), Ok(Effect::GoesOn));
        }
    }

    #[test]
    fn a_crossing_takes_one_stone_and_the_board_has_an_end() {
        let mut board = Board::new(9);
        assert_eq!(board.put(point(8, 8)), Ok(Effect::GoesOn));
        assert_eq!(board.put(point(8, 8)), Err(Unfit::Occupied));
        assert_eq!(board.put(point(9, 0)), Err(Unfit::OffBoard));
        assert_eq!(board.put(point(0, 255)), Err(Unfit::OffBoard));
        assert_eq!(board.stones().len(), 1, "a refused stone is not put down");
    }

    #[test]
    fn a_full_board_without_a_row_is_a_draw() {
        // Pairs of a colour, shifted by two in each row: at most two in a row in any direction.
        let colour = |point: &Point| (point.x + 2 * point.y) % 4 / 2;
        let all = (0..9).flat_map(|y| (0..9).map(move |x| point(x, y)));
        let (mut first, mut second): (Vec<_>, Vec<_>) = all.partition(|point| colour(point) == 0);
        if first.len() < second.len() {
            std::mem::swap(&mut first, &mut second);
        }
        assert_eq!(first.len(), second.len() + 1);
        let mut board = Board::new(9);
        let mut effect = Effect::GoesOn;
        for turn in 0..81 {
            assert_eq!(effect, Effect::GoesOn, "before stone {turn}");
            let side = if turn % 2 == 0 { &first } else { &second };
            effect = board.put(side[turn / 2]).unwrap();
        }
        assert_eq!(effect, Effect::Full);
    }
}
