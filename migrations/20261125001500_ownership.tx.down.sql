-- Intent: takes offers of ownership and put-away checklists away.
DROP TABLE launch_checklists, ownership_offers;
