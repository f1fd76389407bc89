// The page at /slow: takes 100 ms for an answer.
package main

import (
	"time"

	"benchsite/pages/internal/page"
)

func main() {
	page.Serve(page.Routes("/slow", version, 100*time.Millisecond))
}
