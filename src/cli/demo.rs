//! stub
use super::{Context, Failure};
use clap::Args;
#[derive(Debug, Args)]
pub struct Demo {
    #[arg(long)]
    serve: bool,
}
impl Demo {
    pub async fn run(self, _c: &Context) -> Result<(), Failure> {
        let _ = self.serve;
        Ok(())
    }
}
