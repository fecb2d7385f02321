-- Whether any contact came to a stage: of one that nobody came to, nothing is known of anybody.
CREATE INDEX lifecycle_transitions_stage ON lifecycle_transitions (account_id, stage);
