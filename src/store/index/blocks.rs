//! A list that is copied often and of which little changes between two copies: they share the blocks that do not.

use std::sync::Arc;

/// Values by number, in blocks of `LEN`. A copy takes a pointer a block, and the first change in a block behind it one
/// copy of that.
#[derive(Clone, Debug)]
pub(super) struct Blocks<T, const LEN: usize> {
    /// Behind the values those of the last one are defaults.
    blocks: Vec<Arc<[T; LEN]>>,
    len: usize,
}

impl<T, const LEN: usize> Default for Blocks<T, LEN> {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            len: 0,
        }
    }
}

impl<T: Clone + Default, const LEN: usize> Blocks<T, LEN> {
    /// The value of a number below [`Blocks::len`].
    #[inline]
    pub(super) fn get(&self, number: u32) -> &T {
        &self.blocks[number as usize / LEN][number as usize % LEN]
    }

    /// The value of a number, for any number: from [`Blocks::len`] on a default or none.
    #[inline]
    pub(super) fn find(&self, number: u32) -> Option<&T> {
        let block = self.blocks.get(number as usize / LEN)?;
        Some(&block[number as usize % LEN])
    }

    /// The value of a number below [`Blocks::len`], to be changed.
    pub(super) fn get_mut(&mut self, number: u32) -> &mut T {
        let block = &mut self.blocks[number as usize / LEN];
        &mut Arc::make_mut(block)[number as usize % LEN]
    }

    /// Appends a value; returns its number.
    pub(super) fn push(&mut self, value: T) -> u32 {
        let number = u32::try_from(self.len).expect("fewer values than bytes in a body");
        if self.len.is_multiple_of(LEN) {
            let block = std::array::from_fn(|_| T::default());
            self.blocks.push(Arc::new(block));
        }
        self.len += 1;
        *self.get_mut(number) = value;
        number
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// All values, by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let all = self.blocks.iter().flat_map(|block| block.iter());
        all.take(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_its_values() {
        let mut list = Blocks::<u32, 3>::default();
        assert_eq!((list.len(), list.iter().count()), (0, 0));
        assert!((0..7).all(|value| list.push(value) == value));
        let copy = list.clone();
        *list.get_mut(4) = 40;
        list.push(70);
        let all = |list: &Blocks<u32, 3>| list.iter().copied().collect::<Vec<_>>();
        assert_eq!(all(&copy), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(all(&list), [0, 1, 2, 3, 40, 5, 6, 70]);
        assert_eq!((copy.len(), list.len(), *list.get(7)), (7, 8, 70));
        assert_eq!(
            (list.find(7), list.find(8), list.find(9)),
            (Some(&70), Some(&0), None)
        );
        let shared = list.blocks.iter().zip(&copy.blocks);
        let shared: Vec<bool> = shared.map(|(a, b)| Arc::ptr_eq(a, b)).collect();
        assert_eq!(shared, [true, false, false]);
    }
}
