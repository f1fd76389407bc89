// The page at /api/users: create, read, update and delete users, kept in memory.
//
//	curl -i localhost:8080/api/users -H 'Content-Type: application/json' -d '{"name":"Ada","email":"ada@example.org"}'
//	curl -i localhost:8080/api/users/1
package main

import "site/pages/internal/web"

func main() {
	web.Serve(routes(NewUsers()))
}
