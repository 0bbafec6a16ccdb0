curl --request POST \
    "http://localhost/api/regenerate-key" \
    --header "Content-Type: application/json" \
    --header "Accept: application/json" \
    --data "{
    \"expiry_days\": 9
}"
