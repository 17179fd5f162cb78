-- Intent: back to archives from the command line alone.

DROP TABLE board_exports;
