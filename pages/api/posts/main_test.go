package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

func TestThePostsOfThisPageAreServed(t *testing.T) {
	posts, err := load("posts.json")
	if err != nil {
		t.Fatal(err)
	}
	site := routes(posts)
	for path, want := range map[string]struct{ status, posts int }{
		"/api/posts":            {http.StatusOK, len(posts)},
		"/api/posts?tag=go":     {http.StatusOK, 2},
		"/api/posts?tag=none":   {http.StatusOK, 0},
		"/api/posts/hello":      {http.StatusOK, -1},
		"/api/posts/none":       {http.StatusNotFound, -1},
		"/api/posts/hello/more": {http.StatusNotFound, -1},
	} {
		w := httptest.NewRecorder()
		site.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want.status {
			t.Errorf("GET %s: %d %s", path, w.Code, w.Body)
		}
		var list []Post
		if err := json.Unmarshal(w.Body.Bytes(), &list); want.posts >= 0 && (err != nil || list == nil || len(list) != want.posts) {
			t.Errorf("GET %s: %s, want %d posts", path, w.Body, want.posts)
		}
	}
}

func TestPostsAreReadOnly(t *testing.T) {
	w := httptest.NewRecorder()
	routes(nil).ServeHTTP(w, httptest.NewRequest("POST", "/api/posts", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Fatalf("%d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

func TestAFileWithoutProperPostsIsRefused(t *testing.T) {
	for _, content := range []string{"", "{}", `[{"title":"no slug"}]`, `[{"slug":"a"},{"slug":"a"}]`} {
		path := filepath.Join(t.TempDir(), "posts.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if posts, err := load(path); err == nil {
			t.Errorf("%q was taken: %v", content, posts)
		}
	}
}
