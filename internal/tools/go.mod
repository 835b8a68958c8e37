module sbarbiter/internal/tools

go 1.26
