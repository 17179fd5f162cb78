DROP INDEX listings_reference;
