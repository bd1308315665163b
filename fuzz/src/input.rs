//! Inputs: words of a dictionary, mutations of inputs that are known, and plain noise.

/// A random number generator that a seed replays (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that always gives the same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not zero.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Makes inputs.
pub struct Source {
    random: Random,
    dictionary: &'static [&'static [u8]],
    corpus: Vec<Vec<u8>>,
}

/// Inputs that are kept for mutation; older ones make room.
const CORPUS_MAX: usize = 512;

impl Source {
    /// A source over a dictionary and known inputs.
    pub fn new(seed: u64, dictionary: &'static [&'static [u8]], corpus: Vec<Vec<u8>>) -> Self {
        Source { random: Random::new(seed), dictionary, corpus }
    }

    /// The known inputs.
    pub fn corpus(&self) -> &[Vec<u8>] {
        &self.corpus
    }

    /// The next input.
    pub fn next(&mut self, max: usize) -> Vec<u8> {
        let mut input = match (self.random.below(4), self.corpus.is_empty()) {
            (0, _) | (1, true) => self.sentence(),
            (2, _) | (3, true) => {
                let mut words = self.sentence();
                self.mutate(&mut words);
                words
            }
            _ => {
                let at = self.random.below(self.corpus.len());
                let mut known = self.corpus[at].clone();
                for _ in 0..=self.random.below(8) {
                    self.mutate(&mut known);
                }
                known
            }
        };
        input.truncate(max);
        if self.random.below(16) == 0 {
            if self.corpus.len() >= CORPUS_MAX {
                let at = self.random.below(self.corpus.len());
                self.corpus.swap_remove(at);
            }
            self.corpus.push(input.clone());
        }
        input
    }

    /// Words of the dictionary one after another.
    fn sentence(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        for _ in 0..self.random.below(60) {
            if self.random.below(12) == 0 || self.dictionary.is_empty() {
                out.push(self.random.next() as u8);
            } else {
                out.extend_from_slice(self.dictionary[self.random.below(self.dictionary.len())]);
            }
        }
        out
    }

    /// One change anywhere.
    fn mutate(&mut self, input: &mut Vec<u8>) {
        let random = &mut self.random;
        let at = random.below(input.len() + 1);
        match random.below(7) {
            0 if at < input.len() => input[at] = random.next() as u8,
            1 if at < input.len() => input[at] ^= 1 << random.below(8),
            2 => input.insert(at, random.next() as u8),
            3 if at < input.len() => {
                let end = (at + 1 + random.below(32)).min(input.len());
                input.drain(at..end);
            }
            4 if at < input.len() => {
                let end = (at + 1 + random.below(200)).min(input.len());
                let copy = input[at..end].to_vec();
                let to = random.below(input.len() + 1);
                input.splice(to..to, copy);
            }
            5 => {
                let length = random.below(3000);
                let byte = random.next() as u8;
                input.splice(at..at, std::iter::repeat_n(byte, length));
            }
            _ if !self.dictionary.is_empty() => {
                let word = self.dictionary[random.below(self.dictionary.len())];
                input.splice(at..at, word.iter().copied());
            }
            _ => {}
        }
    }
}
