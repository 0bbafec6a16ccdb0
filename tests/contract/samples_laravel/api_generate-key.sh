curl --request POST \
    "http://localhost/api/generate-key" \
    --header "Content-Type: application/json" \
    --header "Accept: application/json" \
    --data "{
    \"expiry_days\": 3
}"
