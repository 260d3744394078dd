//! The arena's geometry. Everything is whole numbers, so that every machine moves everything alike.

use pintail_game::Random;
use serde::{Deserialize, Serialize};

/// Half of a fighter's width and height.
pub(crate) const FIGHTER_RADIUS: i32 = 16;

/// The strip along the border that has no walls, so that a fighter always fits there.
const FREE_STRIP: i32 = 100;

/// How thick and long walls are. Thicker than a shot flies in a step, so that none flies through.
const WALL_SIZES: [i32; 3] = [40, 120, 200];

/// A place, or a way from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vector {
    /// To the right.
    pub x: i32,
    /// Down.
    pub y: i32,
}

impl Vector {
    pub(crate) const ZERO: Self = Self { x: 0, y: 0 };

    pub(crate) const fn plus(self, other: Self) -> Self {
        Self { x: self.x + other.x, y: self.y + other.y }
    }

    /// The same direction, this long; nothing if there is no direction.
    pub(crate) fn with_length(self, length: i32) -> Option<Self> {
        let (x, y) = (i64::from(self.x), i64::from(self.y));
        // In 1/1024ths, so that short vectors keep their direction.
        let own = ((x * x + y * y) << 20).isqrt();
        let scaled = |part: i64| i32::try_from((part << 10) * i64::from(length) / own).ok();
        if own == 0 { None } else { Some(Self { x: scaled(x)?, y: scaled(y)? }) }
    }

    /// Whether the two are less than `distance` apart.
    pub(crate) fn is_near(self, other: Self, distance: i32) -> bool {
        let (x, y) = (i64::from(self.x - other.x), i64::from(self.y - other.y));
        x * x + y * y < i64::from(distance) * i64::from(distance)
    }
}

/// A wall: from `at`, this far to the right and down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wall {
    /// The upper left corner.
    pub at: Vector,
    /// Width and height.
    pub size: Vector,
}

impl Wall {
    /// Whether a square of this half width around `centre` touches the wall.
    fn touches(&self, centre: Vector, radius: i32) -> bool {
        centre.x + radius > self.at.x
            && centre.x - radius < self.at.x + self.size.x
            && centre.y + radius > self.at.y
            && centre.y - radius < self.at.y + self.size.y
    }
}

/// A square arena with walls in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct World {
    pub(crate) size: i32,
    pub(crate) walls: Vec<Wall>,
}

impl World {
    /// An arena of this size with walls here and there.
    pub(crate) fn random(size: i32, rng: &mut Random) -> Self {
        let count = size / 250;
        let inner = (size - 2 * FREE_STRIP).unsigned_abs();
        let side = |rng: &mut Random| rng.pick(&WALL_SIZES).copied().unwrap_or(WALL_SIZES[0]);
        let walls = (0..count)
            .map(|_| {
                let size = Vector { x: side(rng), y: side(rng) };
                let mut from = |side: i32| FREE_STRIP + rng.below(inner - side.unsigned_abs() + 1).cast_signed();
                Wall { at: Vector { x: from(size.x), y: from(size.y) }, size }
            })
            .collect();
        Self { size, walls }
    }

    /// Whether something of this half width can be at `centre`.
    pub(crate) fn is_free(&self, centre: Vector, radius: i32) -> bool {
        let inside = radius..=self.size - radius;
        inside.contains(&centre.x)
            && inside.contains(&centre.y)
            && !self.walls.iter().any(|wall| wall.touches(centre, radius))
    }

    /// Where a fighter gets to that wants to go this way: along a wall if not through it.
    pub(crate) fn slide(&self, from: Vector, by: Vector) -> Vector {
        let ways = [by, Vector { x: by.x, y: 0 }, Vector { x: 0, y: by.y }];
        let places = ways.map(|way| from.plus(way));
        places.into_iter().find(|place| self.is_free(*place, FIGHTER_RADIUS)).unwrap_or(from)
    }

    /// A free place for a fighter, by chance; in a corner if chance finds none.
    pub(crate) fn free_place(&self, rng: &mut Random) -> Vector {
        const ATTEMPTS: usize = 32;
        let span = (self.size - 2 * FIGHTER_RADIUS).unsigned_abs() + 1;
        let mut anywhere = || FIGHTER_RADIUS + rng.below(span).cast_signed();
        (0..ATTEMPTS)
            .map(|_| Vector { x: anywhere(), y: anywhere() })
            .find(|place| self.is_free(*place, FIGHTER_RADIUS))
            .unwrap_or(Vector { x: FIGHTER_RADIUS, y: FIGHTER_RADIUS })
    }
}

#[cfg(test)]
mod tests {
    use pintail_game::Step;

    use super::*;

    fn world(walls: &[Wall]) -> World {
        World { size: 500, walls: walls.to_vec() }
    }

    const WALL: Wall = Wall { at: Vector { x: 200, y: 200 }, size: Vector { x: 40, y: 100 } };

    #[test]
    fn lengths_keep_directions() {
        assert_eq!(Vector { x: 3, y: 4 }.with_length(10), Some(Vector { x: 6, y: 8 }));
        assert_eq!(Vector { x: -1, y: 0 }.with_length(8), Some(Vector { x: -8, y: 0 }));
        assert_eq!(Vector { x: 1, y: 1 }.with_length(10), Some(Vector { x: 7, y: 7 }));
        let far = i32::from(i16::MIN);
        assert_eq!(Vector { x: far, y: far }.with_length(30), Some(Vector { x: -21, y: -21 }));
        assert_eq!(Vector::ZERO.with_length(10), None);
    }

    #[test]
    fn fighters_stop_at_the_border_and_slide_along_walls() {
        let world = world(&[WALL]);
        let corner = Vector { x: 16, y: 16 };
        assert_eq!(world.slide(corner, Vector { x: -5, y: 0 }), corner);
        assert_eq!(world.slide(corner, Vector { x: -5, y: 5 }), Vector { x: 16, y: 21 });
        let beside = Vector { x: 184, y: 250 };
        assert!(world.is_free(beside, FIGHTER_RADIUS));
        assert_eq!(world.slide(beside, Vector { x: 5, y: 5 }), Vector { x: 184, y: 255 });
        assert_eq!(world.slide(beside, Vector { x: 5, y: 0 }), beside);
    }

    #[test]
    fn every_arena_has_room_for_everyone() {
        for step in 0..200 {
            let mut rng = Random::new(step, Step(1));
            let size = 500 + 10 * i32::try_from(step).unwrap();
            let world = World::random(size, &mut rng);
            assert!(world.is_free(Vector { x: FIGHTER_RADIUS, y: FIGHTER_RADIUS }, FIGHTER_RADIUS));
            assert!(world.walls.iter().all(|wall| wall.at.x + wall.size.x <= size - FREE_STRIP));
            for _ in 0..50 {
                assert!(world.is_free(world.free_place(&mut rng), FIGHTER_RADIUS));
            }
        }
    }
}
