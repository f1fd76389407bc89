package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

const (
	ada = `{"name":"Ada Lovelace","email":"ada@example.org"}`
	eve = `{"name":"Eve","email":"eve@example.org"}`
)

// ask sends one request with a JSON body and returns the answer.
func ask(handler http.Handler, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

func TestAUserIsCreatedReadUpdatedAndDeleted(t *testing.T) {
	site := routes(NewUsers())

	w := ask(site, "POST", "/api/users", ada)
	if w.Code != http.StatusCreated || w.Header().Get("Location") != "/api/users/1" {
		t.Fatalf("create: %d, Location %q", w.Code, w.Header().Get("Location"))
	}
	var user User
	if err := json.Unmarshal(w.Body.Bytes(), &user); err != nil || user.ID != 1 || user.Name != "Ada Lovelace" || user.Created.IsZero() {
		t.Fatalf("create: %s, %v", w.Body, err)
	}
	if w = ask(site, "PUT", "/api/users/1", eve); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "Eve") {
		t.Fatalf("update: %d %s", w.Code, w.Body)
	}
	if w = ask(site, "GET", "/api/users/1", ""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "Eve") {
		t.Fatalf("get: %d %s", w.Code, w.Body)
	}
	if w = ask(site, "DELETE", "/api/users/1", ""); w.Code != http.StatusNoContent || w.Body.Len() != 0 {
		t.Fatalf("delete: %d %s", w.Code, w.Body)
	}
	if w = ask(site, "GET", "/api/users/1", ""); w.Code != http.StatusNotFound {
		t.Fatalf("get after delete: %d", w.Code)
	}
}

func TestAListIsAnArrayInTheOrderOfIDs(t *testing.T) {
	site := routes(NewUsers())
	if got := strings.TrimSpace(ask(site, "GET", "/api/users", "").Body.String()); got != "[]" {
		t.Fatalf("empty list: %s", got)
	}
	ask(site, "POST", "/api/users", ada)
	ask(site, "POST", "/api/users", eve)
	var users []User
	if err := json.Unmarshal(ask(site, "GET", "/api/users", "").Body.Bytes(), &users); err != nil {
		t.Fatal(err)
	}
	if len(users) != 2 || users[0].ID != 1 || users[1].ID != 2 {
		t.Fatalf("list: %+v", users)
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		mentions           string
	}{
		"an email in use":           {"POST", "/api/users", ada, http.StatusConflict, "email"},
		"an email in use, in caps":  {"POST", "/api/users", strings.Replace(ada, "ada@", "ADA@", 1), http.StatusConflict, "email"},
		"no name":                   {"POST", "/api/users", `{"email":"x@example.org"}`, http.StatusUnprocessableEntity, "name"},
		"a blank name":              {"POST", "/api/users", `{"name":"  ","email":"x@example.org"}`, http.StatusUnprocessableEntity, "name"},
		"a long name":               {"POST", "/api/users", `{"name":"` + strings.Repeat("é", 101) + `","email":"x@example.org"}`, http.StatusUnprocessableEntity, "name"},
		"no email":                  {"POST", "/api/users", `{"name":"X"}`, http.StatusUnprocessableEntity, "email"},
		"an email with a name":      {"POST", "/api/users", `{"name":"X","email":"X <x@example.org>"}`, http.StatusUnprocessableEntity, "email"},
		"an id chosen by a client":  {"POST", "/api/users", `{"id":7,"name":"X","email":"x@example.org"}`, http.StatusBadRequest, "id"},
		"an update of nobody":       {"PUT", "/api/users/99", eve, http.StatusNotFound, "user"},
		"a deletion of nobody":      {"DELETE", "/api/users/99", "", http.StatusNotFound, "user"},
		"an id that is no number":   {"GET", "/api/users/ada", "", http.StatusNotFound, "user"},
		"a negative id":             {"GET", "/api/users/-1", "", http.StatusNotFound, "user"},
		"an id beyond 64 bits":      {"GET", "/api/users/99999999999999999999", "", http.StatusNotFound, "user"},
		"a path below a user":       {"GET", "/api/users/1/friends", "", http.StatusNotFound, "/api/users/1/friends"},
		"a method users lack":       {"DELETE", "/api/users", "", http.StatusMethodNotAllowed, "GET, HEAD, POST"},
		"a method a user lacks":     {"POST", "/api/users/1", ada, http.StatusMethodNotAllowed, "GET, HEAD, PUT, DELETE"},
		"an email another user has": {"PUT", "/api/users/2", ada, http.StatusConflict, "email"},
	} {
		t.Run(name, func(t *testing.T) {
			site := routes(NewUsers())
			ask(site, "POST", "/api/users", ada)
			ask(site, "POST", "/api/users", eve)
			w := ask(site, c.method, c.path, c.body)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.mentions) {
				t.Fatalf("%d %s; want %d and %q", w.Code, w.Body, c.status, c.mentions)
			}
			if w.Header().Get("Content-Type") != "application/json" || !strings.Contains(w.Body.String(), `"error":`) {
				t.Fatalf("not a JSON error: %v %s", w.Header(), w.Body)
			}
		})
	}
}

func TestAUserMayKeepItsEmail(t *testing.T) {
	site := routes(NewUsers())
	ask(site, "POST", "/api/users", ada)
	if w := ask(site, "PUT", "/api/users/1", ada); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}

func TestManyRequestsAtOnceGetDifferentIDs(t *testing.T) {
	users := NewUsers()
	var all sync.WaitGroup
	for i := range 50 {
		all.Add(1)
		go func() {
			defer all.Done()
			users.Create(Profile{Name: "X", Email: fmt.Sprintf("x%d@example.org", i)})
		}()
	}
	all.Wait()
	for i, user := range users.List() {
		if user.ID != int64(i+1) {
			t.Fatalf("user %d has the id %d", i+1, user.ID)
		}
	}
	if n := len(users.List()); n != 50 {
		t.Fatalf("%d users", n)
	}
}
