//! Row 15 of the matrix in the model: the stage of a company.

use std::collections::BTreeMap;

use super::model::{Account, Object};

impl Account {
    /// Each company's furthest stage among its live contacts and deals, its own trash aside.
    pub fn stages(&self) -> BTreeMap<i64, Option<String>> {
        let companies = self.objects.keys().filter(|(kind, _)| kind == "company");
        companies.map(|company| (company.1, self.furthest_stage(company))).collect()
    }

    fn furthest_stage(&self, company: &Object) -> Option<String> {
        const ORDER: [&str; 7] = [
            "subscriber",
            "lead",
            "marketingqualifiedlead",
            "salesqualifiedlead",
            "opportunity",
            "customer",
            "evangelist",
        ];
        let stage_of = |other: &Object| match other.0.as_str() {
            "contact" if self.is_live(other.1) => {
                self.contacts[&other.1].properties.get("lifecyclestage").cloned()
            }
            "deal" if !self.shows(other) => None,
            "deal" => match self.objects.get(other)?.get("dealstage")?.as_str() {
                "open" => Some("opportunity".to_owned()),
                "closedwon" => Some("customer".to_owned()),
                _ => None,
            },
            _ => None,
        };
        let stages = self.partners(company).into_iter().filter_map(|other| stage_of(&other));
        let ranks = stages.filter_map(|stage| ORDER.iter().position(|known| *known == stage));
        ranks.max().map(|rank| ORDER[rank].to_owned())
    }

    /// Where the stage in place was the one derived before, it becomes the one derived now. Otherwise it was set by hand, and
    /// stays until it is changed by an import: trash and restore give back what was there (rule 1).
    pub fn stages_follow(&mut self, before: &BTreeMap<i64, Option<String>>, of: &Object) {
        let (now, own) = (self.stages(), self.partners(of));
        for (company, derived) in before {
            let company = ("company".to_owned(), *company);
            let stage = self.objects[&company].get("lifecyclestage").filter(|it| !it.is_empty()).cloned();
            if !own.contains(&company) || self.manual_stages.get(&company.1) == Some(&stage) {
                continue;
            }
            if stage != *derived {
                self.manual_stages.insert(company.1, stage);
                continue;
            }
            self.manual_stages.remove(&company.1);
            let properties = self.objects.get_mut(&company).expect("a company");
            match &now[&company.1] {
                Some(stage) => properties.insert("lifecyclestage".to_owned(), stage.clone()),
                None => properties.remove("lifecyclestage"),
            };
        }
    }
}
