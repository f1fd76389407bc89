module benchsite

go 1.22
