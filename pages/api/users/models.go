package main

import (
	"cmp"
	"errors"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// User is one user as clients see it.
type User struct {
	ID      int64     `json:"id"`
	Name    string    `json:"name"`
	Email   string    `json:"email"`
	Created time.Time `json:"created"`
}

// Profile is the part of a User that clients choose.
type Profile struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// Problems says what is wrong with each field of p; empty means valid.
func (p Profile) Problems() map[string]string {
	problems := map[string]string{}
	if name := strings.TrimSpace(p.Name); name == "" {
		problems["name"] = "is required"
	} else if utf8.RuneCountInString(name) > 100 {
		problems["name"] = "is longer than 100 characters"
	}
	if p.Email == "" {
		problems["email"] = "is required"
	} else if address, err := mail.ParseAddress(p.Email); err != nil || address.Address != p.Email {
		problems["email"] = "must be an address like ada@example.org"
	}
	return problems
}

var (
	ErrNoUser     = errors.New("there is no such user")
	ErrEmailTaken = errors.New("another user has this email")
)

// Users holds all users. Its methods may be called from many requests at once.
//
// They live as long as the worker, so each new version of this page starts with none, and two workers would not
// see each other's. What must last belongs into a database, or into a file in $STATE_DIRECTORY, which is this
// page's own and survives deployments.
type Users struct {
	mu   sync.Mutex
	last int64
	byID map[int64]User
}

func NewUsers() *Users {
	return &Users{byID: map[int64]User{}}
}

// List returns all users, the oldest first.
func (u *Users) List() []User {
	u.mu.Lock()
	defer u.mu.Unlock()
	list := make([]User, 0, len(u.byID))
	for _, user := range u.byID {
		list = append(list, user)
	}
	slices.SortFunc(list, func(a, b User) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// Get returns ErrNoUser if there is no user with this id.
func (u *Users) Get(id int64) (User, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	user, ok := u.byID[id]
	if !ok {
		return User{}, ErrNoUser
	}
	return user, nil
}

// Create gives the profile the next id. It returns ErrEmailTaken if the email is in use.
func (u *Users) Create(p Profile) (User, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.taken(p.Email, 0) {
		return User{}, ErrEmailTaken
	}
	u.last++
	user := User{ID: u.last, Name: strings.TrimSpace(p.Name), Email: p.Email, Created: time.Now().UTC()}
	u.byID[user.ID] = user
	return user, nil
}

// Update replaces the profile of a user. It returns ErrNoUser or ErrEmailTaken.
func (u *Users) Update(id int64, p Profile) (User, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	user, ok := u.byID[id]
	if !ok {
		return User{}, ErrNoUser
	}
	if u.taken(p.Email, id) {
		return User{}, ErrEmailTaken
	}
	user.Name, user.Email = strings.TrimSpace(p.Name), p.Email
	u.byID[id] = user
	return user, nil
}

// Delete returns ErrNoUser if there is no user with this id.
func (u *Users) Delete(id int64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, ok := u.byID[id]; !ok {
		return ErrNoUser
	}
	delete(u.byID, id)
	return nil
}

// taken says whether a user other than id has the email. The caller holds u.mu.
func (u *Users) taken(email string, id int64) bool {
	for _, user := range u.byID {
		if user.ID != id && strings.EqualFold(user.Email, email) {
			return true
		}
	}
	return false
}
