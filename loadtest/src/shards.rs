//! Which tenants live in which etcd, where one is not enough: how even the load of shards is under three ways to
//! place tenants, and what moves when a shard is added. Nothing is started: it is a simulation of placement.
//!
//! The load of a tenant is its assignments. The n-th largest has 1/n of the largest (Zipf's law with the
//! exponent 1), and tenants come in an order that has nothing to do with that. A tenant is never parted.

use crate::random::{Dice, Purpose};

/// By how much a shard may be above the mean before tenants are moved away from it.
const SLACK: f64 = 1.1;

/// What is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How many tenants there are.
    pub tenants: usize,
    /// How many shards, before one is added.
    pub shards: usize,
    /// The seed.
    pub seed: u64,
}

/// How tenants are placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// A hash of the name, modulo the number of shards.
    Modulo,
    /// Rendezvous hashing: the shard whose hash with the name is the highest.
    Rendezvous,
    /// A table: the less loaded of the two highest, when the tenant comes; the largest are moved where a
    /// shard has too much.
    Table,
}

/// How a way to place tenants does.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Placed {
    /// The way.
    pub placement: Placement,
    /// The most loaded shard, as a multiple of the mean.
    pub peak: f64,
    /// The shard with the most tenants, as a multiple of the mean.
    pub crowded: f64,
    /// Which share of the load was moved to come there, after the tenants had grown.
    pub rebalanced: f64,
    /// Which share of the load moves when a shard is added.
    pub moved: f64,
    /// The most loaded shard then.
    pub peak_after: f64,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Simulated {
    /// The largest tenant, as a multiple of a shard's mean: no placement does better than that, if it is above 1.
    pub largest: f64,
    /// Each way.
    pub placed: Vec<Placed>,
}

/// A tenant: what draws its hashes, and its load.
#[derive(Debug, Clone, Copy)]
struct Tenant {
    number: u64,
    load: f64,
}

/// Where tenants are, in their order, and what shards have of them.
#[derive(Debug, Clone)]
struct Table {
    at: Vec<usize>,
    loads: Vec<f64>,
}

// === impl Settings ===

impl Settings {
    /// Simulates every way.
    #[must_use]
    pub fn simulate(&self) -> Simulated {
        let tenants = self.arriving();
        let total: f64 = tenants.iter().map(|tenant| tenant.load).sum();
        let largest = tenants.iter().map(|tenant| tenant.load).fold(0.0, f64::max);
        let ways = [Placement::Modulo, Placement::Rendezvous, Placement::Table];
        let placed = ways.map(|placement| self.placed(placement, &tenants, total));
        Simulated { largest: largest / (total / self.shards as f64), placed: placed.to_vec() }
    }

    /// The tenants in the order in which they come.
    fn arriving(&self) -> Vec<Tenant> {
        let tenant = |n: usize| Tenant { number: n as u64, load: 1.0 / (n as f64 + 1.0) };
        let mut tenants: Vec<_> = (0..self.tenants).map(tenant).collect();
        tenants.sort_by_cached_key(|tenant| self.hash(tenant.number, u64::MAX));
        tenants
    }

    fn hash(&self, tenant: u64, shard: u64) -> u64 {
        let mut dice = Dice::at(self.seed ^ tenant, Purpose::Resource, shard);
        dice.number()
    }

    /// The shards of a tenant, the best first.
    fn preferred(&self, tenant: Tenant, shards: usize) -> Vec<usize> {
        let mut ranked: Vec<_> = (0..shards).collect();
        ranked
            .sort_by_cached_key(|shard| std::cmp::Reverse(self.hash(tenant.number, *shard as u64)));
        ranked
    }

    fn placed(&self, placement: Placement, tenants: &[Tenant], total: f64) -> Placed {
        let (before, rebalanced) = self.table(placement, tenants, self.shards, None);
        let (after, _) = self.table(placement, tenants, self.shards + 1, Some(&before));
        let moved = tenants.iter().zip(before.at.iter().zip(&after.at));
        let moved = moved.filter(|(_, (from, to))| from != to).map(|(tenant, _)| tenant.load);
        Placed {
            placement,
            peak: before.peak(),
            crowded: before.crowded(),
            rebalanced: rebalanced / total,
            moved: moved.sum::<f64>() / total,
            peak_after: after.peak(),
        }
    }

    /// Where the tenants are, with as many shards; and how much of the load was moved to even it.
    fn table(
        &self,
        placement: Placement,
        tenants: &[Tenant],
        shards: usize,
        before: Option<&Table>,
    ) -> (Table, f64) {
        let mut table = Table { at: Vec::new(), loads: vec![0.0; shards] };
        // Nobody knows how large a tenant becomes when it comes: the table counts them.
        let mut counts = vec![0_usize; shards];
        for (n, tenant) in tenants.iter().enumerate() {
            let preferred = self.preferred(*tenant, shards);
            let first = preferred.first().copied().unwrap_or(0);
            let second = preferred.get(1).copied().unwrap_or(first);
            let known = before.and_then(|before| before.at.get(n)).copied();
            let count = |shard: usize| counts.get(shard).copied().unwrap_or(0);
            let shard = match placement {
                Placement::Modulo => {
                    (self.hash(tenant.number, u64::MAX - 1) % shards as u64) as usize
                }
                Placement::Rendezvous => first,
                Placement::Table if count(second) < count(first) => known.unwrap_or(second),
                Placement::Table => known.unwrap_or(first),
            };
            if let Some(count) = counts.get_mut(shard) {
                *count += 1;
            }
            table.put(shard, tenant.load);
        }
        let moved = if placement == Placement::Table { table.rebalance(tenants) } else { 0.0 };
        (table, moved)
    }
}

// === impl Table ===

impl Table {
    fn put(&mut self, shard: usize, load: f64) {
        self.at.push(shard);
        if let Some(sum) = self.loads.get_mut(shard) {
            *sum += load;
        }
    }

    fn mean(&self) -> f64 {
        self.loads.iter().sum::<f64>() / self.loads.len() as f64
    }

    fn peak(&self) -> f64 {
        self.loads.iter().copied().fold(0.0, f64::max) / self.mean()
    }

    fn crowded(&self) -> f64 {
        let most =
            (0..self.loads.len()).map(|shard| self.at.iter().filter(|at| **at == shard).count());
        most.max().unwrap_or(0) as f64 / (self.at.len() as f64 / self.loads.len() as f64)
    }

    /// The shard that has the most, or the least, and how much.
    fn extreme(&self, most: bool) -> Option<(usize, f64)> {
        let all = self.loads.iter().copied().enumerate();
        let by = |a: &(usize, f64), b: &(usize, f64)| a.1.total_cmp(&b.1);
        if most { all.max_by(by) } else { all.min_by(by) }
    }

    /// Moves tenants from the fullest shard to the emptiest, the largest first that leaves neither worse, until
    /// no shard has too much or no move helps. Says how much was moved.
    fn rebalance(&mut self, tenants: &[Tenant]) -> f64 {
        let (mean, mut moved) = (self.mean(), 0.0);
        loop {
            let (Some((from, most)), Some((to, least))) = (self.extreme(true), self.extreme(false))
            else {
                return moved;
            };
            if most <= SLACK * mean {
                return moved;
            }
            // No further than to the mean of both.
            let room = (most - least) / 2.0;
            let movable = self.at.iter().zip(tenants).enumerate();
            let movable = movable.filter(|(_, (at, tenant))| **at == from && tenant.load <= room);
            let largest = movable.max_by(|(_, (_, a)), (_, (_, b))| a.load.total_cmp(&b.load));
            let Some((n, load)) = largest.map(|(n, (_, tenant))| (n, tenant.load)) else {
                return moved;
            };
            if load < mean * 1e-6 {
                return moved;
            }
            if let Some(at) = self.at.get_mut(n) {
                *at = to;
            }
            for (shard, change) in [(from, -load), (to, load)] {
                if let Some(sum) = self.loads.get_mut(shard) {
                    *sum += change;
                }
            }
            moved += load;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_even_and_the_others_are_as_they_are() {
        let Simulated { largest, placed } =
            Settings { tenants: 2_000, shards: 8, seed: 1 }.simulate();
        let [modulo, rendezvous, table] = placed.try_into().unwrap();
        assert!(table.peak <= SLACK.max(largest) + 1e-9, "{table:?}");
        // The same tenant is more of a smaller mean.
        assert!(table.peak_after <= SLACK.max(largest * 9.0 / 8.0) + 1e-9, "{table:?}");
        for hashed in [modulo, rendezvous] {
            assert!(hashed.peak > table.peak && hashed.rebalanced == 0.0, "{hashed:?}");
        }
        // Of nine shards, eight ninths have another one; by rendezvous one ninth.
        assert!(modulo.moved > 0.7, "{modulo:?}");
        assert!(rendezvous.moved < 0.4, "{rendezvous:?}");
        assert!(table.moved < modulo.moved, "{table:?}");
    }

    #[test]
    fn a_tenant_that_is_larger_than_a_shard_s_share_is_the_bound() {
        let settings = Settings { tenants: 10, shards: 8, seed: 1 };
        let Simulated { largest, placed } = settings.simulate();
        assert!(largest > 2.0, "{largest}");
        assert!(placed.iter().all(|it| it.peak >= largest - 1e-9), "{placed:?}");
    }

    #[test]
    fn every_tenant_is_in_one_shard_and_nothing_is_lost_by_moving() {
        let settings = Settings { tenants: 500, shards: 4, seed: 7 };
        let tenants = settings.arriving();
        let (table, _) = settings.table(Placement::Table, &tenants, 4, None);
        let mut sums = [0.0; 4];
        for (at, tenant) in table.at.iter().zip(&tenants) {
            sums[*at] += tenant.load;
        }
        for (sum, load) in sums.iter().zip(&table.loads) {
            assert!((sum - load).abs() < 1e-9);
        }
    }
}
