// The page at /api/posts: articles from posts.json, a file that is part of this page.
//
// tqsd copies the files of a page beside its executable, so that each release keeps the files it was built with:
// a rollback brings the old posts back together with the old program.
//
//	curl -i localhost:8080/api/posts?tag=go
//	curl -i localhost:8080/api/posts/hello
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"site/pages/internal/web"
)

// Post is one article.
type Post struct {
	Slug      string   `json:"slug"`
	Title     string   `json:"title"`
	Published string   `json:"published"`
	Tags      []string `json:"tags"`
	Text      string   `json:"text"`
}

func main() {
	executable, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	posts, err := load(filepath.Join(filepath.Dir(executable), "posts.json"))
	if err != nil {
		// Ending here is right: a release that does not start never replaces the one that runs.
		log.Fatal(err)
	}
	web.Serve(routes(posts))
}

// load reads the posts in a JSON file, each with its own slug.
func load(path string) ([]Post, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var posts []Post
	if err := json.Unmarshal(content, &posts); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	seen := map[string]bool{}
	for _, post := range posts {
		if post.Slug == "" || seen[post.Slug] {
			return nil, fmt.Errorf("%s: %q needs a slug of its own", path, post.Title)
		}
		seen[post.Slug] = true
	}
	return posts, nil
}

func routes(posts []Post) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/posts", func(w http.ResponseWriter, r *http.Request) {
		web.JSON(w, http.StatusOK, tagged(posts, r.URL.Query().Get("tag")))
	})
	mux.Handle("/api/posts", web.Allow("GET", "HEAD"))
	mux.HandleFunc("GET /api/posts/{slug}", func(w http.ResponseWriter, r *http.Request) {
		slug := r.PathValue("slug")
		i := slices.IndexFunc(posts, func(p Post) bool { return p.Slug == slug })
		if i < 0 {
			web.Error(w, http.StatusNotFound, "there is no such post")
			return
		}
		web.JSON(w, http.StatusOK, posts[i])
	})
	mux.Handle("/api/posts/{slug}", web.Allow("GET", "HEAD"))
	mux.HandleFunc("/", web.NotFound)
	return mux
}

// tagged returns the posts that have the tag; all of them for "".
func tagged(posts []Post, tag string) []Post {
	found := []Post{} // not nil: an empty list is [] in JSON, not null
	for _, post := range posts {
		if tag == "" || slices.Contains(post.Tags, tag) {
			found = append(found, post)
		}
	}
	return found
}
