module gateway-operator.lab/apps

go 1.24
