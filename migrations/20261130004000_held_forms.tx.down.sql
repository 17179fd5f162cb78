-- Intent: take back the forms that wait for a link.
DROP TABLE held_forms;
