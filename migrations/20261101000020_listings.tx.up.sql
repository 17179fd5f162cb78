-- Intent: imports find the employers' own numbers without reading the whole board.

CREATE INDEX listings_reference ON listings (tenant_id, reference) WHERE reference <> '';
