package archive

// Remap and Catalogue are for tests.
var (
	Remap     = remap
	Catalogue = catalogue
	Forge     = newWriter
)

// UUIDs finds ids in texts.
var UUIDs = uuids

// Put, Finish and Part let tests write what no export writes.
func (w *writer) Put(name string, data []byte) error {
	_, err := w.entry(name, data)
	return err
}

// Part is part.
func (w *writer) Part(table string, n int, rows int64, data []byte) error {
	return w.part(table, n, rows, data)
}

// File is file.
func (w *writer) File(name string, data []byte) error { return w.file(name, data) }

// Finish writes the manifest and closes.
func (w *writer) Finish() error {
	if _, err := w.manifest(0); err != nil {
		return err
	}
	return w.close()
}

// Close ends it without a manifest.
func (w *writer) Close() error { return w.close() }
