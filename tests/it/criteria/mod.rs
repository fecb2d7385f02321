//! The filter language against what is known of it: cases worked out by hand, and a second reading of the
//! specification in another language.

mod cases;
mod model;
mod scene;
