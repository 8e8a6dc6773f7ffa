{# Rows for which the expression is false or null. Of a column or a whole table alike. #}
{% test holds(model, expression, column_name=none) %}
select *
from {{ model }}
where ({{ expression }}) is not true
{% endtest %}
