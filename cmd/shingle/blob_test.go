package main

import (
	"net/http/httptest"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"shingle/internal/config"
)

// TestFilesCanLieInS3 speaks to a bucket as several replicas would share it.
func TestFilesCanLieInS3(t *testing.T) {
	backend := s3mem.New()
	if err := backend.CreateBucket("boards"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	defer server.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	url := "s3://boards?region=eu-central-1&use_path_style=true&endpoint=" + server.URL
	if _, err := config.Load("migrate", []string{"SHINGLE_BLOB_URL=" + url, "SHINGLE_DATABASE_URL=postgres://a@h/d",
		"SHINGLE_PLATFORM_DATABASE_URL=postgres://b@h/d", "SHINGLE_MIGRATE_DATABASE_URL=postgres://c@h/d"}); err != nil {
		t.Fatalf("the setting is refused: %v", err)
	}
	files, err := blob.OpenBucket(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = files.Close() }()
	const key = "board/cv/1.pdf"
	if err := files.WriteAll(t.Context(), key, []byte("%PDF"), &blob.WriterOptions{ContentType: "application/pdf"}); err != nil {
		t.Fatal(err)
	}
	if got, err := files.ReadAll(t.Context(), key); err != nil || string(got) != "%PDF" {
		t.Errorf("read back %q, %v", got, err)
	}
	if err := files.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := files.ReadAll(t.Context(), key); gcerrors.Code(err) != gcerrors.NotFound {
		t.Errorf("a deleted file answers %v", err)
	}
}
