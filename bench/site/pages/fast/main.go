// The page at /fast: answers at once.
package main

import "benchsite/pages/internal/page"

func main() {
	page.Serve(page.Routes("/fast", version, 0))
}
