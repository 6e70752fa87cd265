module millgate.dev/e2e/load

go 1.24.0
