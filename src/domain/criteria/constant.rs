//! What criteria say of every contact alike, by their shape alone.

use super::operation::Operation;
use super::{Criteria, Kind, Truth};

impl Criteria {
    /// The verdict whatever the contact is like, where it is always the same: that of the branches alone, with every
    /// condition in them unknown, but one of a condition and its opposite always holds.
    pub fn constant_value(&self) -> Truth {
        match &self.kind {
            Kind::Branch { decisive, negated, parts } => {
                let verdicts = parts.iter().map(Self::constant_value);
                let verdict = match decisive {
                    _ if has_opposites(parts) => *decisive,
                    Truth::True => verdicts.fold(Truth::False, Truth::or),
                    _ => verdicts.fold(Truth::True, Truth::and),
                };
                verdict.negate_if(*negated)
            }
            Kind::Constant(accepts) => Truth::from_bool(*accepts),
            _ => Truth::Unknown,
        }
    }

    /// Is it an `OR` of `AND`s, as the vendor builds them? What is not understood is told of by itself.
    pub fn is_or_of_ands(&self) -> bool {
        let is = |part: &Self, wanted: Truth| match &part.kind {
            Kind::Branch { decisive, negated, .. } => *decisive == wanted && !negated,
            other => *other == Kind::Unsupported,
        };
        let parts = if let Kind::Branch { parts, .. } = &self.kind { parts.as_slice() } else { &[] };
        is(self, Truth::True) && parts.iter().all(|part| is(part, Truth::False))
    }

    /// A branch with one part is that part.
    fn sole(&self) -> &Self {
        match &self.kind {
            Kind::Branch { negated: false, parts, .. } if parts.len() == 1 => parts[0].sole(),
            _ => self,
        }
    }

    /// Does one of the two hold of every contact?
    fn is_opposite_of(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Property { name, operation }, Kind::Property { name: of, operation: asked }) => {
                let known = |operation: &Operation| match operation {
                    Operation::Known { negated } => Some(*negated),
                    Operation::OnValue { .. } => None,
                };
                name == of && known(operation).zip(known(asked)).is_some_and(|(one, two)| one != two)
            }
            (
                Kind::InSegment { segment_id, negated },
                Kind::InSegment { segment_id: of, negated: otherwise },
            ) => segment_id == of && negated != otherwise,
            _ => false,
        }
    }
}

fn has_opposites(parts: &[Criteria]) -> bool {
    let opposed = |(index, part): (usize, &Criteria)| {
        parts[..index].iter().any(|before| part.sole().is_opposite_of(before.sole()))
    };
    parts.iter().enumerate().any(opposed)
}
